// Which view is shown, and its state: both are in the address, and nowhere else.

import { plain } from "./dom.js";

/** The address of a view. @param {string} path as `incidents/4711` @param {Query} [query] */
export const at = (path, query) => `/console/${path}${query && query.size > 0 ? `?${query}` : ""}`;

/** A copy of a state with some parameters set, or taken away by an empty value.
 * @param {Query} query @param {Record<string, string | string[]>} changes */
export function changed(query, changes) {
	const copy = new URLSearchParams(query);
	for (const [name, value] of Object.entries(changes)) {
		copy.delete(name);
		for (const one of Array.isArray(value) ? value : [value]) if (one) copy.append(name, one);
	}
	return copy;
}

/** @type {(isAnew?: boolean) => void} */
let arrive = () => {};

/** Goes to another address of the console. @param {string} address @param {boolean} [isReplaced] whether "back" skips the present one */
export function go(address, isReplaced = false) {
	wanted = null;
	if (isReplaced) history.replaceState(null, "", address);
	else if (address !== location.pathname + location.search) {
		history.replaceState({ y: scrollY, id: document.activeElement?.id }, "");
		history.pushState(null, "", address);
	}
	arrive();
}

/** Draws the present view anew. */
export const reload = () => arrive(true);

/** Where "back" leads to within a view, once it is drawn. @type {{ y: number, id: string } | null} */
let wanted = null;

/** Scrolls to the saved place once the page is long enough. */
export function settle() {
	if (!wanted || document.documentElement.scrollHeight < wanted.y + innerHeight / 2) return;
	scrollTo(0, wanted.y);
	document.getElementById(wanted.id)?.focus({ preventScroll: true });
	wanted = null;
}

/** A link within the console that was clicked without a key that asks for a new tab. @param {MouseEvent} event */
function followed(event) {
	const link = event.target instanceof Element ? event.target.closest("a") : null;
	const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
	if (!link || !isPlain || !link.pathname.startsWith("/console") || link.origin !== location.origin || link.hash) return;
	event.preventDefault();
	go(link.pathname + link.search);
}

/** Shows what the address says, now and whenever it changes. @param {HTMLElement} host @param {Record<string, View>} views
 * @param {(name: string) => void} shown is told which view is there */
export function route(host, views, shown) {
	/** @type {{ name: string, rest: string, abort: AbortController, update: void | (Move) } | undefined} */
	let current;
	arrive = (isAnew = false) => {
		document.querySelector("dialog")?.close();
		const [, name = "incidents", ...rest] = location.pathname.split("/").filter(Boolean);
		const query = new URLSearchParams(location.search);
		const key = rest.join("/");
		if (!isAnew && current?.update && current.name === name && current.rest === key) return current.update(query);
		const isFirst = current === undefined;
		current?.abort.abort();
		const abort = new AbortController();
		const view = views[name] ?? views.nothing;
		const title = (/** @type {string} */ text) => void (document.title = `${plain(text)} · Data Storage`);
		host.replaceChildren();
		current = { name, rest: key, abort, update: undefined };
		current.update = view?.({ host, rest: decoded(key), query, signal: abort.signal, title });
		shown(name);
		// Keyboard and screen reader begin at the heading, or in the view's field.
		if (isFirst) return;
		scrollTo(0, 0);
		if (!host.contains(document.activeElement)) host.querySelector("h1")?.focus({ preventScroll: true });
	};
	history.scrollRestoration = "manual";
	addEventListener("popstate", ({ state }) => {
		arrive();
		wanted = state;
		settle();
	});
	document.addEventListener("click", followed);
	arrive();
}

/** @param {string} part */
function decoded(part) {
	try {
		return decodeURIComponent(part);
	} catch {
		return part;
	}
}
