// "When did we see this before, and what worked?"

import { el, listed, said, show } from "./dom.js";
import { asBody, choice, filtered } from "./filters.js";
import { badge, empty, incidentLink, load, percent, place, summaryOf } from "./parts.js";
import { bar } from "./plots.js";
import { at, changed, go } from "./router.js";
import { when } from "./time.js";

/** The search of a state. @param {Query} query */
function question(query) {
	/** @type {Record<string, unknown>} */
	const body = {
		query: query.get("q") ?? "",
		limit: Math.min(Number(query.get("limit")) || 10, 100),
		include: "text",
	};
	const filters = asBody(query);
	if (Object.keys(filters).length > 0) body.filters = filters;
	if (query.get("collapse")) body.collapse = query.get("collapse");
	return { path: "/api/v1/incidents/search", body };
}

/** One reason of a hit. @param {Schemas["Why"]} why @param {Schemas["Hit"]} hit */
function reason(why, hit) {
	if (why.signal === "text") {
		const terms = listed(why.terms ?? [], " ", "term");
		return el(
			"div",
			{ class: "why" },
			el("span", { class: "signal" }, "Words"),
			bar(hit.similarity),
			el("span", {}, `${percent(hit.similarity)} alike: `, ...terms),
		);
	}
	const names = { alert_name: "Alert", target: "Target", place: "Place", recency: "Age" };
	const text = why.signal === "recency" ? `${percent(why.factor)} of the score is left by its age` : (why.detail ?? "");
	return el("div", { class: "why" }, el("span", { class: "signal" }, names[why.signal]), bar(why.factor ?? 1), el("span", {}, text));
}

/** @param {Schemas["Hit"]} hit */
const hitOf = hit =>
	el(
		"article",
		{ class: "hit" },
		el("h3", {}, incidentLink(hit), " ", badge(hit.outcome), el("span", { class: "muted" }, " ", when(hit.action_timestamp))),
		el("p", {}, hit.action_type ? el("span", {}, "tried ", said(hit.action_type, "strong")) : "nothing was tried", ...place(hit)),
		hit.error_message && el("p", { class: "wrong cut" }, said(hit.error_message)),
		hit.reasoning && el("p", { class: "muted cut" }, said(hit.reasoning)),
		hit.alike !== undefined &&
			hit.alike > 1 &&
			el(
				"p",
				{ class: "muted" },
				`Stands for ${hit.alike} that are alike: `,
				...Object.entries(hit.outcomes ?? {}).flatMap(([outcome, n]) => [`${n} `, badge(outcome), " "]),
			),
		el("div", { class: "why" }, el("span", { class: "signal" }, "Score"), bar(hit.score), el("span", {}, hit.score.toFixed(2))),
		...hit.why.map(why => reason(why, hit)),
	);

/** What was searched, in words. @param {Schemas["Coverage"]} coverage */
function covered({ incidents, searched, pending, without_text: without, query_terms: terms, known_terms: found, exhaustive }) {
	const n = (/** @type {number} */ number) => number.toLocaleString("en");
	const sentences = [
		`${n(searched)} of ${n(incidents)} incidents were searched${exhaustive ? ", each of them compared" : " by the index, which may miss some"}.`,
		pending > 0 && `${n(pending)} are too new to be found yet.`,
		without > 0 && `${n(without)} have no text to search.`,
		terms === 0 ? "The question has no word that tells incidents apart." : `${found} of ${terms} words of the question are known to any incident.`,
	];
	return sentences.filter(Boolean).join(" ");
}

/** @param {Page} page */
export function search(page) {
	let { query } = page;
	const hint = "an alert's name, an error, a few words";
	const field = el("input", { type: "search", id: "query", name: "q", required: true, autocomplete: "off", dir: "auto", placeholder: hint });
	const form = el(
		"form",
		{ class: "ask", role: "search", "aria-label": "Similar incidents" },
		el("label", { for: "query" }, "What does it look like?"),
		field,
		el("button", { type: "submit" }, "Search"),
	);
	form.addEventListener("submit", event => {
		event.preventDefault();
		if (field.value.trim()) go(at("search", changed(query, { q: field.value.trim() })));
	});
	const hits = el("div", { id: "hits" });

	const ways = { "": "each", pattern: "one of each text", alert: "one of each alert" };
	/** @type {Controls} */
	const controls = (query, move) => [
		choice("collapse", "Show of those that are alike", ways, query.get("collapse") ?? "", value => move(changed(query, { collapse: value }))),
	];

	/** @param {Schemas["Similar"]} it */
	function draw(it) {
		const hits = it.data.map(hitOf);
		const none = empty(
			el("h2", {}, "Nothing like this is known"),
			el(
				"p",
				{},
				it.coverage.known_terms === 0
					? "No incident has any of these words. Try the alert's name, or the words of the error."
					: "Take a filter away, or try fewer words.",
			),
		);
		return [
			hits.length > 0 && el("section", {}, el("h2", { class: "unseen" }, "What was tried"), ...summaryOf(it.summary)),
			hits.length > 0 ? el("h2", {}, `Most alike${hits.length === 1 ? "" : `: ${hits.length}`}`) : none,
			...hits,
			el("p", { class: "muted", id: "coverage" }, covered(it.coverage)),
		];
	}

	/** @type {Follow} */
	const follow = (state, signal, keep) => {
		const asked = state.get("q") ?? "";
		page.title(asked ? `Search: ${asked.slice(0, 80)}` : "Search");
		if (asked !== (query.get("q") ?? "") || !field.value) field.value = asked;
		query = state;
		const ask = "Write what the alert or the error says. The answer is what was tried then, and how often it worked.";
		if (asked) void load({ host: hits, signal, question: question(state), draw: answer => (keep(answer), draw(answer)) });
		else show(hits, empty(el("p", {}, ask)));
	};

	const title = "When did we see this before, and what worked?";
	const view = filtered(page, { name: "search", title, above: [form], below: [hits], question, controls, follow });
	view.update(query);
	if (!query.get("q")) field.focus();
	return view.update;
}

/** The search in the head of each page. */
export function headSearch() {
	const field = el("input", {
		type: "search",
		id: "head-search",
		autocomplete: "off",
		dir: "auto",
		placeholder: "What worked before? An alert's name, an error",
	});
	const form = el(
		"form",
		{ role: "search", class: "head-search", "aria-label": "What worked before" },
		el("label", { for: "head-search", class: "unseen" }, "What worked before? An alert's name or an error"),
		field,
	);
	form.addEventListener("submit", event => {
		event.preventDefault();
		if (field.value.trim()) go(at("search", new URLSearchParams({ q: field.value.trim() })));
		field.value = "";
	});
	return form;
}
