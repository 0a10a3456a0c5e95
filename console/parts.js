// What the views are made of.

import { ask, curl, hasToken, Refused, setToken } from "./api.js";
import { button, el, known, said, show } from "./dom.js";
import { interval } from "./plots.js";
import { at, reload, settle } from "./router.js";

/** A sign and a name for each status: colour alone says nothing to some. @type {Record<string, [string, string]>} */
const STATUSES = {
	pending: ["○", "pending"],
	in_progress: ["◐", "in progress"],
	completed: ["✓", "completed"],
	failed: ["✗", "failed"],
	cancelled: ["⊘", "cancelled"],
	rolled_back: ["↩", "rolled back"],
	recurred: ["↻", "came back"],
};

/** @param {string} status of an incident, a step or an outcome */
export function badge(status) {
	const [sign, name] = STATUSES[status] ?? ["?", status];
	return el("span", { class: `badge is-${status in STATUSES ? status : "other"}` }, el("span", { "aria-hidden": "true" }, sign), " ", name);
}

/** @param {string | null} severity */
export const severityBadge = severity =>
	severity ? el("span", { class: `badge severity is-${/^(critical|high|medium|low)$/.test(severity) ? severity : "other"}` }, severity) : known(null);

/** Lets screen readers say a text. @param {string} text */
export function announce(text) {
	const region = document.getElementById("news");
	if (region) region.textContent = text;
}

/** A heading that a view begins with. @param {Child[]} children */
export const heading = (...children) => el("h1", { tabindex: "-1", id: "heading" }, ...children);

/** Copies a text, and says so on the button. @param {string} name @param {() => string} text */
function copier(name, text) {
	const made = button(name, async () => {
		let done = text() === "null" ? "Nothing to copy yet" : "Copied";
		try {
			if (done === "Copied") await navigator.clipboard.writeText(text());
		} catch {
			// A page without TLS may not use the clipboard: show what is to be copied.
			done = name;
			showText(name, text());
		}
		made.textContent = done;
		announce(done);
		setTimeout(() => (made.textContent = name), 2000);
	});
	made.className = "small";
	return made;
}

/** Shows something above the page, until it is closed. @param {string} title @param {Child[]} children */
export function dialog(title, ...children) {
	const close = button("Close", () => made.close());
	const made = el("dialog", { "aria-label": title }, el("h2", {}, title), ...children, el("p", {}, close));
	made.addEventListener("close", () => made.remove());
	document.body.append(made);
	made.showModal();
	return made;
}

/** @param {string} name @param {string} text */
function showText(name, text) {
	const area = el("textarea", { rows: 8, "aria-label": name, spellcheck: "false" });
	area.value = text;
	area.readOnly = true;
	dialog(name, area);
	area.select();
}

/** The buttons "Copy as curl" and "Copy as JSON". @param {() => [Question, unknown]} both the question, and what was answered */
export const copiers = both =>
	el(
		"span",
		{ class: "copiers" },
		copier("Copy as curl", () => curl(both()[0])),
		copier("Copy as JSON", () => JSON.stringify(both()[1], null, 2)),
	);

/** Asks for a token. All that is shown is asked for anew with it. */
export function tokenForm() {
	const field = el("input", { type: "password", name: "token", autocomplete: "off", spellcheck: "false", required: true });
	const keeps = el("input", { type: "checkbox" });
	const form = el(
		"form",
		{ class: "token" },
		el("label", {}, "Token ", field),
		el("label", {}, keeps, " keep it until this tab is closed"),
		el("button", { type: "submit" }, "Use this token"),
	);
	field.addEventListener("input", () => field.setCustomValidity(""));
	form.addEventListener("submit", event => {
		event.preventDefault();
		const token = field.value.trim().replace(/^Bearer\s+/i, "");
		field.setCustomValidity(/^[!-~]+$/.test(token) ? "" : "A token has no spaces, and no other letters than a to z.");
		if (!field.reportValidity()) return;
		setToken(token, keeps.checked);
		reload();
	});
	return form;
}

/** What a refusal means, by its status. @type {Record<number, [string, (refused: Refused) => string]>} */
const MEANINGS = {
	[-1]: ["This answer cannot be shown", () => "The service may have been replaced by another version: load the page anew."],
	0: ["No answer", ({ message }) => message],
	400: ["The service does not understand this question", ({ message }) => message],
	401: ["A token is needed", () => "Show a reader's token, as `kubectl create token` makes it. It is kept in memory."],
	403: ["This token may not read", () => "Ask the operators to add its account to READERS, or use another token."],
	404: ["There is no such thing", ({ message }) => message],
	429: ["Too many questions", ({ message, retryAfter }) => `${message} Try again in ${retryAfter || 1} s.`],
	500: ["The service failed", ({ message }) => message],
	503: ["The service cannot answer now", ({ message }) => `${message} The health view says which part is away.`],
};

/** What to do when there is no answer. @param {unknown} error @param {() => void} again */
export function trouble(error, again) {
	if (!(error instanceof Refused)) console.error(error);
	const refused = error instanceof Refused ? error : new Refused(-1, "");
	const { status } = refused;
	const [title, text] = MEANINGS[status] ?? MEANINGS[status < 500 ? 400 : 500] ?? ["", () => ""];
	const id = refused.problem.correlation_id;
	const retry = el("p", {}, button("Try again", again));
	return el(
		"div",
		{ class: "state trouble", role: "alert" },
		el("h2", {}, title),
		el("p", {}, text(refused)),
		id && el("p", { class: "muted" }, "Request ", el("code", {}, id), ", as in the service's log."),
		(status === 401 || status === 403) && !document.querySelector("main :not([aria-busy]) > .trouble > form") && tokenForm(),
		status === 401 ? hasToken() && el("p", {}, "The token that this page has was refused.") : retry,
	);
}

/** @param {Child[]} children */
export const empty = (...children) => el("div", { class: "state" }, ...children);

/** The question whose answer a host waits for; a newer one ends it. @type {WeakMap<Element, AbortController>} */
const loads = new WeakMap();

/**
 * Asks and draws into `host`; says that it waits, and what is wrong. What stood there stays until there is something to replace it.
 * @param {{ host: HTMLElement, signal: AbortSignal, question: Question, draw: Draw }} part
 */
export async function load({ host, signal, question, draw }) {
	loads.get(host)?.abort();
	const turn = new AbortController();
	loads.set(host, turn);
	const until = AbortSignal.any([signal, turn.signal]);
	host.setAttribute("aria-busy", "true");
	const waits = setTimeout(() => host.hasChildNodes() || show(host, el("p", { class: "state", role: "status" }, "Loading…")), 150);
	until.addEventListener("abort", () => {
		clearTimeout(waits);
		if (loads.get(host) === turn) host.removeAttribute("aria-busy");
	});
	const end = (/** @type {Child[]} */ ...children) => {
		clearTimeout(waits);
		if (until.aborted) return;
		host.removeAttribute("aria-busy");
		show(host, ...children);
		settle();
	};
	try {
		const answer = await ask(question, until);
		if (answer && !until.aborted) end(...draw(answer.data, answer.tag, until));
	} catch (error) {
		if (!until.aborted) end(trouble(error, () => (show(host), load({ host, signal, question, draw }))));
	}
}

/**
 * A part of a view with a heading of its own, filled by one question.
 * @param {string} title @param {{ signal: AbortSignal, question: Question, draw: Draw }} part
 */
export function section(title, { signal, question, draw }) {
	/** @type {unknown} */
	let last = null;
	const host = el("div");
	const keep = (/** @type {any} */ data) => draw((last = data), "", signal);
	void load({ host, signal, question, draw: keep });
	return el(
		"section",
		{},
		el(
			"div",
			{ class: "head" },
			el("h2", {}, title),
			copiers(() => [question, last]),
		),
		host,
	);
}

/**
 * A table; on a narrow screen each row is a card, whose cells bear the names of their columns.
 * @param {string} caption @param {string[]} columns @param {{ cells: Child[][], class?: string }[]} rows
 */
export const table = (caption, columns, rows) =>
	el(
		"div",
		{ class: "scroll", role: "group", "aria-label": caption, tabindex: 0, id: `table-${caption.replaceAll(" ", "-")}` },
		el(
			"table",
			{ "aria-label": caption },
			el("thead", {}, el("tr", {}, ...columns.map(column => el("th", { scope: "col" }, column)))),
			el("tbody", {}, ...rows.map(row => el("tr", { class: row.class }, ...row.cells.map((cell, at) => el("td", { "data-label": columns[at] }, ...cell))))),
		),
	);

/** A share in whole per cent. @param {number | null | undefined} share */
export const percent = share => (share === null || share === undefined ? "–" : `${share < 1 ? Math.min(Math.round(share * 100), 99) : 100} %`);

/** A rate, its interval drawn and in numbers. @param {{ n: number, success_rate: number | null, interval: number[] | null }} rate */
export const rate = ({ n, success_rate: share, interval: bounds }) =>
	el(
		"span",
		{ class: "rate" },
		interval(share, bounds),
		" ",
		el("strong", {}, percent(share)),
		bounds && el("span", { class: "muted" }, ` ${Math.round((bounds[0] ?? 0) * 100)}–${percent(bounds[1])} of ${n}`),
	);

/** What was tried and how it went. @param {string} caption @param {Schemas["Action"][]} actions */
export const actionsTable = (caption, actions) =>
	table(
		caption,
		["Action", "Success rate", "Held", "Failed", "Came back"],
		actions.map(action => ({
			cells: [[said(action.action_type, "strong")], [rate(action)], [action.completed], [action.failed], [action.recurred]],
		})),
	);

/** What worked and what did not, of a search. @param {Schemas["Summary"]} summary */
export const summaryOf = ({ worked, do_not_repeat: avoid }) => [
	el(
		"div",
		{ class: "answers" },
		el(
			"div",
			{ class: "answer good" },
			el("h3", {}, "What worked"),
			worked.length > 0 ? actionsTable("What worked", worked) : el("p", {}, "Nothing is known to have worked."),
		),
		avoid.length > 0 && el("div", { class: "answer bad" }, el("h3", {}, "Do not repeat"), actionsTable("Do not repeat", avoid)),
	),
];

/** Where an incident was. @param {{ target_resource?: string | null, namespace?: string | null, cluster_name?: string | null }} incident */
export const place = ({ target_resource: target, namespace, cluster_name: cluster }) =>
	[target && [" on ", said(target)], namespace && [" in ", said(namespace)], cluster && [", ", said(cluster)]].flat().map(part => part || null);

/** A link to an incident, by its alert. @param {{ id: number, alert_name: string | null }} incident @param {string} [of] its id in the page */
export const incidentLink = ({ id, alert_name: alert }, of) =>
	el("a", { href: at(`incidents/${id}`), id: of, class: "incident" }, alert ? said(alert) : `incident ${id}`);
