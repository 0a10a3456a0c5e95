// The one way in which anything gets into the page. Text is always text: there is no call here, or anywhere in the console, that reads
// markup. The service's content policy forbids such calls too (`require-trusted-types-for 'script'`).

const SVG = "http://www.w3.org/2000/svg";

/** Attributes that an element may be given. `on…`, `style` and `srcdoc` are not among them. */
const ALLOWED = new Set(
	(
		"class id for type name checked disabled hidden selected open value placeholder autocomplete spellcheck rows size required dir role tabindex title href " +
		"datetime scope inputmode viewBox x y x1 y1 x2 y2 cx cy r rx d width height preserveAspectRatio points"
	).split(" "),
);

/** Where a link may lead: to a view of the console, to the reference of the API, or to a place of the page. */
const LINKS = /^(\/console($|[/?])|\/docs$|\/openapi\.json$|#)/;

/**
 * Characters that are not seen or that move others: controls (but newline and tab), marks of direction, tags, fillers; a joiner or a variation
 * selector unless it follows a letter or a picture that it can belong to.
 */
const HIDDEN =
	/[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufeff\uffa0\ufff0-\ufffb\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]|(?<![[\p{L}\p{M}\p{Extended_Pictographic}\p{Emoji_Modifier}]--[\0-\x7f]])[\u200c\u200d]|(?<![[\p{L}\p{Extended_Pictographic}\d#*]--[A-Za-z]])[\ufe00-\ufe0f]/gv;

/** The name of a hidden character: `U+202E`. @param {string} character */
const codePoint = character => `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`;

/** A text where hidden characters are written out, for what can only be text: titles, labels. @param {string} text */
export const plain = text => text.replace(HIDDEN, character => `⟨${codePoint(character)}⟩`);

/** A text as nodes: a hidden character is a mark that shows its code point. @param {string} text @returns {Node[]} */
function nodes(text) {
	const found = [];
	let from = 0;
	for (const match of text.matchAll(HIDDEN)) {
		if (match.index > from) found.push(document.createTextNode(text.slice(from, match.index)));
		const mark = document.createElement("span");
		mark.className = "mark";
		mark.textContent = codePoint(match[0]);
		found.push(mark);
		from = match.index + match[0].length;
	}
	if (from < text.length || found.length === 0) found.push(document.createTextNode(text.slice(from)));
	return found;
}

/** @param {Element} element @param {string} name @param {string} value */
function set(element, name, value) {
	if (!ALLOWED.has(name) && !/^(aria|data)-[a-z-]+$/.test(name)) throw new Error(`no attribute ${name} here`);
	if (name === "href" && !LINKS.test(value)) throw new Error("no link out of the console");
	// What a field holds goes back to the service as it is.
	if (name === "value" && (element instanceof HTMLInputElement || element instanceof HTMLTextAreaElement)) element.value = value;
	else element.setAttribute(name, name === "value" || name === "href" ? value : plain(value));
}

/** @template {Element} T @param {T} element @param {Attributes} attributes @param {Child[]} children @returns {T} */
function filled(element, attributes, children) {
	for (const [name, value] of Object.entries(attributes)) {
		if (value === null || value === undefined || value === false) continue;
		set(element, name, value === true ? "" : String(value));
	}
	return put(element, ...children);
}

/**
 * Puts further children into an element.
 * @template {Element} T @param {T} element @param {Child[]} children @returns {T}
 */
export function put(element, ...children) {
	for (const child of children) {
		if (child === null || child === undefined || child === false) continue;
		element.append(...(child instanceof Node ? [child] : nodes(String(child))));
	}
	return element;
}

/** Elements that may be made. */
const MADE = new Set(
	(
		"a article bdi button code dd details dialog div dl dt fieldset form h1 h2 h3 header input label legend li main nav option p pre section select span " +
		"strong summary table tbody td textarea th thead time tr ul"
	).split(" "),
);

/**
 * An element. @template {keyof HTMLElementTagNameMap} K
 * @param {K} name @param {Attributes} [attributes] @param {Child[]} children @returns {HTMLElementTagNameMap[K]}
 */
export function el(name, attributes = {}, ...children) {
	if (!MADE.has(name)) throw new Error(`no element ${name} here`);
	return filled(document.createElement(name), attributes, children);
}

/** An element of a drawing. @param {"svg" | "g" | "rect" | "line" | "circle" | "path" | "polyline" | "text" | "title"} name
 * @param {Attributes} [attributes] @param {Child[]} children @returns {SVGElement} */
export function svg(name, attributes = {}, ...children) {
	// A mark is an element of HTML: a drawing would not show it.
	const shown = children.map(child => (typeof child === "string" ? document.createTextNode(plain(child)) : child));
	return filled(document.createElementNS(SVG, name), attributes, shown);
}

/** What somebody wrote: set apart, so that its direction moves nothing around it. @param {string} text @param {string} [kind] */
export const said = (text, kind) => el("bdi", { class: kind, dir: "auto" }, text);

/** Like `said`; a dash where nothing is known. @param {string | null | undefined} text */
export const known = text => (text ? said(text) : el("span", { class: "unknown" }, "–"));

/** JSON as it is read. @param {unknown} value */
export const json = value => el("pre", {}, JSON.stringify(value, null, 2));

/** Several of them. @param {string[]} texts @param {string} [between] @param {string} [kind] @returns {Child[]} */
export const listed = (texts, between = ", ", kind) => texts.flatMap((text, at) => [at > 0 && between, said(text, kind)]);

/** A button. @param {string} text @param {(event: Event) => void} press @param {Attributes} [attributes] */
export function button(text, press, attributes = {}) {
	const made = el("button", { type: "button", ...attributes }, text);
	made.addEventListener("click", press);
	return made;
}

/**
 * Puts these children in the place of what an element has. Where the focus was in it, the element with the same id has it again, else the heading.
 * @param {Element} host @param {Child[]} children
 */
export function show(host, ...children) {
	const active = document.activeElement;
	const id = active && host.contains(active) ? active.id || "heading" : "";
	host.replaceChildren();
	put(host, ...children);
	if (id) (document.getElementById(id) ?? document.getElementById("heading"))?.focus({ preventScroll: true });
}
