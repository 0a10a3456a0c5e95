// How often what worked, and how that changed.

import { el, known, show } from "./dom.js";
import { choice, filtered, filtersOf } from "./filters.js";
import { badge, empty, load, rate, section, severityBadge, table } from "./parts.js";
import { countsOverTime, everyTime, ratesOverTime, sparkline, STATUSES } from "./plots.js";
import { at, changed } from "./router.js";
import { day, duration } from "./time.js";

/** What attempts can be grouped by. @type {Record<string, string>} */
const GROUPS = {
	alert_name: "alert",
	action_type: "action",
	severity: "severity",
	namespace: "namespace",
	cluster: "cluster",
	environment: "environment",
	model_used: "model",
	target: "target",
};
const INTERVALS = { hour: "hour", day: "day", week: "week", month: "month" };
/** Places of the grouping's choices. */
const PLACES = /** @type {const} */ (["first", "second", "third"]);

/** @param {Query} query */
function groups(query) {
	const asked = (query.get("group_by") ?? "alert_name,action_type").split(",").filter(name => name in GROUPS);
	return asked.length > 0 ? [...new Set(asked)].slice(0, PLACES.length) : ["alert_name", "action_type"];
}

/** @param {Query} query */
function question(query) {
	const asked = changed(filtersOf(query), { group_by: groups(query).join(","), limit: "50" });
	if (query.get("cursor")) asked.set("cursor", query.get("cursor") ?? "");
	return { path: "/api/v1/stats/success-rate", query: asked };
}

/** @param {Query} query */
const intervalOf = query => Object.keys(INTERVALS).find(name => name === query.get("interval")) ?? "day";

/** @param {string} name @param {Rate} rate */
const valueOf = (name, rate) => (name === "severity" ? severityBadge(rate.severity ?? null) : known(/** @type {any} */ (rate)[name]));

/** @param {string} interval @returns {(counts: Schemas["Counts"]) => Child[]} */
const overTime =
	interval =>
	({ data, pagination }) => {
		if (data.length === 0) return [empty("No incident fits these filters.")];
		const statuses = STATUSES.filter(status => data.some(({ counts }) => status in counts));
		const rows = data.map(({ time, counts }) => ({
			cells: [[time.replace("T", " ").replace(/:00Z$/, " UTC")], ...statuses.map(status => [/** @type {Record<string, number>} */ (counts)[status] ?? 0])],
		}));
		const legend = el("p", {}, ...statuses.flatMap(status => [badge(status), " "]));
		const sums = data.map(({ counts }) => Object.values(counts).reduce((sum, count) => sum + count, 0));
		return [
			countsOverTime(everyTime(/** @type {{ time: string, counts: Record<string, number> }[]} */ (data), interval, time => ({ time, counts: {} }))),
			pagination.has_more && el("p", { class: "notice" }, "Only the first 1,000 times are shown: choose a shorter span."),
			legend,
			el(
				"details",
				{},
				el("summary", {}, "The numbers ", sparkline(sums, "All incidents over time")),
				table("Incidents over time", ["Time", ...statuses.map(status => status.replace("_", " "))], rows),
			),
		];
	};

/** @param {string} name day, week or month @returns {(answer: { data: Rate[], has_more: boolean }) => Child[]} */
const ratesBy = name => answer => {
	const data = /** @type {(Rate & Record<string, any>)[]} */ (answer.data).sort((a, b) => String(a[name]).localeCompare(String(b[name])));
	if (data.length === 0) return [empty("No attempt is over.")];
	const shares = data.map(one => ({ time: String(one[name]), n: one.n, share: one.success_rate, bounds: one.interval }));
	const rows = data.map(one => ({ cells: [[day(one[name])], [rate(one)], [one.completed], [one.failed], [one.recurred]] }));
	return [
		ratesOverTime(everyTime(shares, name, time => ({ time, n: 0, share: null, bounds: null }))),
		answer.has_more && el("p", { class: "notice" }, "Only the times with the most attempts are shown."),
		el("details", {}, el("summary", {}, "The numbers"), table("Success rate over time", ["From", "Success rate", "Held", "Failed", "Came back"], rows)),
	];
};

/** @param {Page} page */
export function success(page) {
	page.title("Success");
	let { query } = page;
	const [rates, plots] = [el("div"), el("div")];

	/** @type {Controls} */
	const controls = (query, move) => {
		const chosen = groups(query);
		const grouped = PLACES.slice(0, chosen.length + 1).map((place, at) => {
			const free = Object.entries(GROUPS).filter(([name]) => name === chosen[at] || !chosen.includes(name));
			const options = Object.fromEntries([...(at > 0 ? [["", "–"]] : []), ...free]);
			return choice(`group-${place}`, at === 0 ? "By" : "and", options, chosen[at] ?? "", value => {
				const others = [...chosen];
				others[at] = value;
				move(changed(query, { group_by: others.filter(Boolean).join(","), cursor: "" }));
			});
		});
		const interval = choice("interval", "Over time by", INTERVALS, intervalOf(query), value =>
			move(changed(query, { interval: value === "day" ? "" : value })),
		);
		return [...grouped, interval];
	};

	/** @param {Schemas["SuccessRates"]} answer */
	function draw(answer) {
		if (answer.data.length === 0)
			return [
				empty(el("h2", {}, "No attempt is over"), el("p", {}, "Attempts count once they have ended. Take a filter away, or choose a longer span of time.")),
			];
		const names = groups(query);
		const rows = answer.data.map(one => ({
			cells: [
				...names.map(name => [valueOf(name, one)]),
				[rate(one), one.insufficient_data && el("span", { class: "muted" }, " too few to tell")],
				[one.completed],
				[one.failed],
				[one.recurred],
				[duration(one.median_duration)],
				[incidentsOf(names, one)],
			],
		}));
		const titles = names.map(name => GROUPS[name] ?? name).map(name => (name[0] ?? "").toUpperCase() + name.slice(1));
		const next = answer.pagination.next_cursor;
		return [
			table(
				"Success rates",
				[...titles, "Success rate", "Held", "Failed", "Came back", "Median", names.includes("action_type") ? "By last action" : "Incidents"],
				rows,
			),
			el(
				"nav",
				{ class: "pages", "aria-label": "Pages" },
				query.get("cursor") && el("a", { href: at("success", changed(query, { cursor: "" })), id: "first-page" }, "First page"),
				next && el("a", { href: at("success", changed(query, { cursor: next })), id: "next-page" }, "Next page"),
			),
		];
	}

	/** The list of a group's incidents, where all its facts can be filtered by. @param {string[]} names @param {any} one */
	function incidentsOf(names, one) {
		const listed = names.every(name => one[name] && name !== "model_used" && name !== "target");
		if (!listed) return known(null);
		const state = changed(filtersOf(query), Object.fromEntries(names.map(name => [name, String(one[name])])));
		return el("a", { href: at("incidents", state), "aria-label": `list of incidents of ${names.map(name => one[name]).join(", ")}` }, "list");
	}

	/** @type {Follow} */
	const follow = (state, signal, keep) => {
		if (state.get("cursor") !== query.get("cursor")) scrollTo(0, 0);
		query = state;
		void load({ host: rates, signal, question: question(state), draw: answer => (keep(answer), draw(answer)) });
		const interval = intervalOf(state);
		const filters = filtersOf(state);
		// A thousand times are answered at most, the oldest first.
		const isShort = interval === "hour" && !filters.has("since") && !filters.has("until");
		if (isShort) filters.set("since", "30d");
		const by = interval === "hour" ? "day" : interval;
		const counts = { path: "/api/v1/stats/counts", query: changed(filters, { interval }) };
		const shares = { path: "/api/v1/stats/success-rate", query: changed(filters, { group_by: by, limit: "400" }) };
		show(
			plots,
			section(isShort ? "Incidents of the last 30 days" : "Incidents over time", {
				signal,
				question: counts,
				draw: overTime(interval),
			}),
			section(`Success rate by ${by}`, { signal, question: shares, draw: ratesBy(by) }),
		);
	};

	const said = "Only ended attempts are counted. One worked if it completed and the alert did not come back to its workload. A line is an interval at 95 %.";
	const above = [el("p", { class: "muted" }, said)];
	const view = filtered(page, { name: "success", title: "How often what worked", above, below: [rates, plots], question, controls, follow });
	view.update(query);
	return view.update;
}
