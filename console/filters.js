// The filters of lists, searches and statistics: facts with the number of incidents behind each value, targets, and a span of time.

import { ask, Refused } from "./api.js";
import { button, el, plain, put, said, show } from "./dom.js";
import { copiers, heading } from "./parts.js";
import { at, changed, go } from "./router.js";

/** The facts whose values are offered, by the API's names. @type {Record<string, string>} */
const FACETS = {
	severity: "Severity",
	status: "Status",
	alert_name: "Alert",
	action_type: "Action",
	namespace: "Namespace",
	cluster: "Cluster",
	environment: "Environment",
};
/** The facts that are typed. @type {Record<string, [string, string]>} */
const TYPED = {
	target_resource: ["Target", "deployment/web"],
	remediation_request_id: ["Remediation request", "rr-abc123"],
	alert_fingerprint: ["Alert fingerprint", ""],
	since: ["Since", "24h, 7d, 2026-11-30T10:00:00Z"],
	until: ["Until", "1h, 2026-11-30T12:00:00Z"],
};
export const NAMES = [...Object.keys(FACETS), ...Object.keys(TYPED)];
/** Those that have one value. */
const ALONE = ["remediation_request_id", "since", "until"];
/** Values that are shown at first. */
const FEW = 6;
/** Values of one fact that a question may have. */
const MOST = 20;

/** The parameters of an address that are filters. @param {Query} query */
export function filtersOf(query) {
	const kept = new URLSearchParams();
	for (const [name, value] of query) if (NAMES.includes(name)) kept.append(name, value);
	return kept;
}

/** The filters as a search's body has them. @param {Query} query */
export function asBody(query) {
	/** @type {Record<string, string | string[]>} */
	const filters = {};
	for (const name of NAMES) {
		const values = query.getAll(name);
		if (values.length > 0) filters[name] = values.length === 1 || ALONE.includes(name) ? (values[0] ?? "") : values;
	}
	return filters;
}

/** What is filtered by, each with a button that takes it away.
 * @param {Query} query @param {Move} go */
export function chips(query, go) {
	const filters = [...filtersOf(query)];
	if (filters.length === 0) return null;
	const without = (/** @type {string} */ name, /** @type {string} */ gone) =>
		changed(query, { [name]: query.getAll(name).filter(value => value !== gone), cursor: "" });
	return el(
		"ul",
		{ class: "chips", "aria-label": "Filters in use" },
		...filters.map(([name, value]) => {
			const made = button("×", () => go(without(name, value)), { "aria-label": `Without ${name} ${plain(value)}` });
			return el("li", {}, `${FACETS[name] ?? TYPED[name]?.[0] ?? name}: `, said(value), " ", made);
		}),
		el(
			"li",
			{},
			button("Clear all", () => go(changed(query, { ...Object.fromEntries(NAMES.map(name => [name, ""])), cursor: "" }))),
		),
	);
}

/**
 * The panel of filters. `go` takes the new state; `update` shows an address that something else changed, such as "back".
 * @param {{ query: Query, signal: AbortSignal, go: Move, isOpen?: boolean }} panel
 */
export function filterPanel({ query, signal, go, isOpen = true }) {
	const hosts = Object.fromEntries(Object.keys(FACETS).map(name => [name, el("div")]));
	const fields = Object.fromEntries(
		Object.entries(TYPED).map(([name, [, hint]]) => [
			name,
			el("input", { type: "text", id: `filter-${name}`, placeholder: hint, autocomplete: "off", spellcheck: "false" }),
		]),
	);
	const trouble = el("p", { class: "muted", role: "status" });
	const form = el(
		"form",
		{ class: "typed" },
		...Object.entries(TYPED).map(([name, [label]]) => el("div", {}, el("label", { for: `filter-${name}` }, label), fields[name])),
		el("button", { type: "submit", id: "filter-apply" }, "Apply"),
	);
	form.addEventListener("submit", event => {
		event.preventDefault();
		const typed = Object.keys(TYPED).map(name => [name, fields[name]?.value.trim() ?? ""]);
		go(changed(query, { ...Object.fromEntries(typed.filter(([name = "", value]) => value !== (query.get(name) ?? ""))), cursor: "" }));
	});
	const all = el("details", { class: "filters" }, el("summary", {}, "Filters"), trouble, ...Object.values(hosts), form);
	all.open = isOpen && !matchMedia("(max-width: 60rem)").matches;
	/** Facts of which all values are shown. @type {Set<string>} */
	const opened = new Set();
	let latest = 0;
	let isCounted = false;

	/** @param {string} name @param {Schemas["Facet"]} facet */
	function draw(name, facet) {
		const host = hosts[name];
		const chosen = query.getAll(name);
		const values = [...facet.values];
		for (const value of chosen) if (!values.some(known => known.value === value)) values.push({ value, count: 0 });
		const isWhole = opened.has(name) || values.length <= FEW + 1;
		const shown = values.filter(({ value }, at) => isWhole || at < FEW || chosen.includes(value));
		const boxes = shown.map(({ value, count }) => {
			const id = `facet-${name}-${encodeURIComponent(value)}`;
			const box = el("input", {
				type: "checkbox",
				id,
				checked: chosen.includes(value),
				disabled: !chosen.includes(value) && chosen.length >= MOST,
			});
			box.addEventListener("change", () => {
				const others = query.getAll(name).filter(other => other !== value);
				go(changed(query, { [name]: box.checked ? [...others, value] : others, cursor: "" }));
			});
			return el("label", { for: id, class: "facet" }, box, said(value), el("span", { class: "count" }, count.toLocaleString("en")));
		});
		const more =
			!isWhole &&
			button(`${values.length - shown.length} more`, () => {
				opened.add(name);
				draw(name, facet);
				host?.querySelectorAll("input")[shown.length]?.focus();
			});
		if (!host) return;
		if (values.length === 0) show(host);
		else
			show(
				host,
				el("fieldset", {}, el("legend", {}, FACETS[name]), ...boxes, more, isWhole && facet.more && el("p", { class: "muted" }, "The most frequent hundred.")),
			);
	}

	/** Asks for the values. Those of a fact that is filtered by are counted without that filter: else the others could not be chosen. */
	async function count() {
		const turn = ++latest;
		isCounted = true;
		const filters = filtersOf(query);
		const used = Object.keys(FACETS).filter(name => filters.has(name));
		const free = Object.keys(FACETS).filter(name => !used.includes(name));
		const groups = [...used.map(name => [name]), ...(free.length > 0 ? [free] : [])];
		try {
			await Promise.all(
				groups.map(async names => {
					const rest = used.includes(names[0] ?? "") ? changed(filters, { [names[0] ?? ""]: "" }) : filters;
					const asked = changed(rest, { fields: names.join(",") });
					const answer = await ask({ path: "/api/v1/incidents/facets", query: asked }, signal);
					if (turn !== latest || signal.aborted) return;
					for (const name of names) draw(name, answer?.data.data[name]);
				}),
			);
			if (turn === latest) show(trouble);
		} catch (error) {
			if (!(error instanceof Refused) && !signal.aborted) console.error(error);
			isCounted = false;
			if (!signal.aborted && turn === latest) show(trouble, "The numbers cannot be had now.");
		}
	}

	/** @param {Query} state */
	function update(state) {
		const isNew = !isCounted || `${filtersOf(state)}` !== `${filtersOf(query)}`;
		// What is typed and not sent yet stays.
		for (const [name, field] of Object.entries(fields)) if (latest === 0 || state.get(name) !== query.get(name)) field.value = state.get(name) ?? "";
		query = state;
		if (isNew) void count();
	}
	update(query);
	return { node: all, update, count };
}

/** A label and a choice of values. @param {string} id @param {string} label @param {Record<string, string>} options
 * @param {string} value @param {(value: string) => void} choose */
export function choice(id, label, options, value, choose) {
	const made = el("select", { id }, ...Object.entries(options).map(([of, text]) => el("option", { value: of, selected: of === value }, text)));
	made.addEventListener("change", () => choose(made.value));
	return el("span", { class: "choice" }, el("label", { for: id }, label), made);
}

/**
 * The frame of a view with filters: heading, panel, what is chosen, controls. `follow` draws an address; what it asks ends with it.
 * `redraw` draws the controls alone.
 * @param {Page} page
 * @param {{ name: string, title: string, isOpen?: boolean, above?: Child[], below: Child[], question: (query: Query) => Question,
 *   controls: Controls, follow: Follow }} view
 */
export function filtered({ host, query, signal }, { name, title, isOpen = false, above = [], below, question, controls, follow }) {
	const move = (/** @type {Query} */ state) => go(at(name, state));
	const panel = filterPanel({ query, signal, go: move, isOpen });
	const [chosen, row] = [el("div"), el("div", { class: "controls" })];
	/** @type {unknown} */
	let last = null;
	let turn = new AbortController();
	const copies = copiers(() => [question(query), last]);
	const wide = el("div", { class: "wide" }, chosen, row, ...below);
	put(host, el("div", { class: "head" }, heading(title), copies), ...above, el("div", { class: "split" }, panel.node, wide));
	const redraw = () => show(row, ...controls(query, move));
	const update = (/** @type {Query} */ state) => {
		query = state;
		last = null;
		turn.abort();
		turn = new AbortController();
		panel.update(state);
		show(chosen, chips(state, move));
		redraw();
		follow(state, AbortSignal.any([signal, turn.signal]), answer => (last = answer));
	};
	return { update, redraw, panel };
}
