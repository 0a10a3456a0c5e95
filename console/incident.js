// One incident, and two side by side.

import { el, json, known, listed, put, said, show } from "./dom.js";
import { actionsTable, badge, copiers, empty, heading, incidentLink, load, place, section, severityBadge, summaryOf, table } from "./parts.js";
import { timeline } from "./plots.js";
import { at, changed } from "./router.js";
import { duration, when, whenFully } from "./time.js";

/** What an entry of the timeline did. @param {Entry} entry */
const deed = entry => (entry.type === "workflow" ? entry.stepName : (entry.actionType ?? "alert"));
/** @param {Entry} entry */
const statusOf = entry => (entry.type === "workflow" ? entry.stepStatus : entry.status);

/** The account alone: `gateway-sa`. @param {string} writer */
const account = writer => el("span", { title: writer }, said(writer.split(":").at(-1) ?? writer));

/** @param {Entry[]} entries */
export const drawnTimeline = entries =>
	timeline(
		entries.map(entry => ({
			at: Date.parse(entry.time),
			took: entry.durationMs ?? 0,
			label: deed(entry),
			status: statusOf(entry),
			kind: entry.type,
		})),
	);

/** Whether an audit of the timeline only says that the alert came. @param {Entry} entry */
const isAlert = entry => entry.type === "remediation" && entry.actionType === null && entry.assumed.includes("status");

/** @param {{ data: Entry[] }} answer */
function timelineOf({ data }) {
	if (data.length === 0) return [empty("Nothing is known of its steps.")];
	const first = Date.parse(data[0]?.time ?? "");
	const rows = data.map(entry => ({
		cells: [
			[`+${duration(Date.parse(entry.time) - first)}`],
			[when(entry.time)],
			[isAlert(entry) ? "alert came" : said(deed(entry)), entry.errorMessage && el("div", { class: "wrong" }, said(entry.errorMessage))],
			[isAlert(entry) ? null : badge(statusOf(entry))],
			[duration(entry.durationMs)],
			[account(entry.writer)],
			[el("details", {}, el("summary", {}, "in full"), json(entry))],
		],
	}));
	return [drawnTimeline(data), table("Timeline", ["After", "Time", "What", "Status", "Took", "Writer", "Audit"], rows)];
}

/** Sentences: how each action ended, and the present state of the incident. @param {Rate[]} tries @param {Detail} incident */
function verdict(tries, incident) {
	const target = incident.target_resource ? [" for ", said(incident.target_resource)] : [];
	const sentences = tries.map(({ action_type: action, n, completed, failed, recurred }) => {
		const times = (/** @type {number} */ count) => (n > 1 ? ` ${count} times` : "");
		const ends = [
			completed > 0 ? [`it worked${times(completed)}, and the alert has not come back`, ...target, " so far"] : [],
			recurred > 0 ? [`it worked${times(recurred)}, but the alert came back`, ...target] : [],
			failed > 0 ? [`it failed${times(failed)}`] : [],
		].filter(end => end.length > 0);
		const kind = failed > 0 || recurred > 0 ? "verdict bad" : "verdict good";
		const tried = ` was tried ${n === 1 ? "once" : `${n} times`}: `;
		return el("p", { class: kind }, action ? said(action, "strong") : "Something", tried, ...ends.flatMap((end, at) => (at > 0 ? ["; ", ...end] : end)), ".");
	});
	const what = incident.action_type ? said(incident.action_type, "strong") : "An action";
	/** @type {Record<string, Child[]>} */
	const now = {
		pending: incident.action_type ? [what, " is planned, and was not tried yet."] : ["Nothing was tried yet."],
		in_progress: [what, " is being tried now."],
		cancelled: [what, " was called off."],
		rolled_back: [what, " was rolled back."],
	};
	const present = now[incident.execution_status];
	return present ? [...sentences, el("p", { class: "verdict" }, ...present)] : sentences;
}

/** @param {Detail} incident */
export const facts = incident =>
	/** @type {[string, Child][]} */ ([
		["Alert", known(incident.alert_name)],
		["Severity", severityBadge(incident.alert_severity)],
		["Status", badge(incident.execution_status)],
		["Action", known(incident.action_type)],
		["Target", known(incident.target_resource)],
		["Namespace", known(incident.namespace)],
		["Cluster", known(incident.cluster_name)],
		["Environment", known(incident.environment)],
		["Began", whenFully(incident.action_timestamp)],
		["Action began", incident.start_time ? whenFully(incident.start_time) : known(null)],
		["Action ended", incident.end_time ? whenFully(incident.end_time) : known(null)],
		["Took", duration(incident.duration)],
		["Model", known(incident.model_used)],
		["Confidence", incident.model_confidence === null ? known(null) : String(incident.model_confidence)],
		["Priority", known(incident.priority)],
		["Fingerprint", known(incident.alert_fingerprint)],
		["Request", said(incident.remediation_request_id)],
		["Workflows", incident.workflows.length > 0 ? el("span", {}, ...listed(incident.workflows)) : known(null)],
		["Last change", whenFully(incident.updated_at)],
	]);

/** What is like the incident of this id. @param {string} id @returns {(answer: Schemas["Similar"]) => Child[]} */
const alike =
	id =>
	({ data, summary, coverage }) => {
		if (data.length === 0) return [empty(el("p", {}, `No incident is like this one, of ${coverage.searched.toLocaleString("en")} that were searched.`))];
		const rows = data.map(hit => ({
			cells: [
				[hit.score.toFixed(2)],
				[incidentLink(hit)],
				[when(hit.action_timestamp)],
				[known(hit.action_type)],
				[badge(hit.outcome)],
				[known(hit.target_resource)],
				[
					el(
						"a",
						{
							href: at("compare", new URLSearchParams({ ids: `${id},${hit.id}` })),
							"aria-label": `compare with incident ${hit.id}`,
						},
						"compare",
					),
				],
			],
		}));
		return [...summaryOf(summary), table("Similar incidents", ["Score", "Alert", "Began", "Action", "Outcome", "Target", "Compare"], rows)];
	};

/** @param {Page} page */
export function incident({ host, rest: id, signal, title }) {
	title(`Incident ${id}`);
	const path = `/api/v1/incidents/${encodeURIComponent(id)}`;
	const [head, body] = [el("div", { class: "head" }, heading(`Incident ${id}`)), el("div")];
	put(host, head, body);
	void load({
		host: body,
		signal,
		question: { path },
		draw: (/** @type {Detail} */ it) => {
			title(`${it.alert_name ?? "Incident"} ${id}`);
			return [...top(it), ...parts(it)];
		},
	});

	/** @param {Detail} it */
	function top(it) {
		const held = el("div");
		const query = new URLSearchParams({ group_by: "action_type", remediation_request_id: it.remediation_request_id });
		void load({ host: held, signal, question: { path: "/api/v1/stats/success-rate", query }, draw: ({ data }) => verdict(data, it) });
		show(
			head,
			heading(it.alert_name ? said(it.alert_name) : `Incident ${id}`),
			copiers(() => [{ path }, it]),
		);
		return [
			el("p", { class: "sub" }, severityBadge(it.alert_severity), " ", badge(it.execution_status), ...place(it), " · began ", whenFully(it.action_timestamp)),
			held,
			it.error_message && text("Error", it.error_message, "wrong"),
			it.reasoning && text("Reasoning", it.reasoning),
			...it.conflicts.map(({ field, values }) =>
				el("p", { class: "notice" }, `Its audits do not agree on ${field}: `, ...listed(values.map(String)), ". One request name may have been used twice."),
			),
		];
	}

	/** @param {Detail} it */
	function parts(it) {
		const rates = new URLSearchParams({ group_by: "action_type", limit: "20" });
		const same = new URLSearchParams();
		if (it.alert_name) {
			rates.set("alert_name", it.alert_name);
			same.set("alert_name", it.alert_name);
		}
		const all = [el("a", { href: at("incidents", same) }, "All incidents of this alert")];
		if (it.target_resource)
			all.push(el("a", { href: at("incidents", changed(same, { target_resource: it.target_resource })) }, "of them those of this target"));
		const tried = "Tried against this alert";
		const actions = (/** @type {{ data: any[] }} */ { data }) =>
			data.length > 0
				? [
						actionsTable(
							tried,
							data.map(one => ({ ...one, action_type: one.action_type ?? "–" })),
						),
					]
				: [empty("No try is over yet.")];
		return [
			section("Timeline", { signal, question: { path: `${path}/timeline` }, draw: timelineOf }),
			section("Alike, and what worked there", {
				signal,
				question: { path: `${path}/similar`, query: new URLSearchParams({ limit: "8" }) },
				draw: alike(id),
			}),
			it.alert_name && section(tried, { signal, question: { path: "/api/v1/stats/success-rate", query: rates }, draw: actions }),
			el("p", { class: "pages" }, ...all),
			el(
				"section",
				{},
				el("h2", {}, "Facts"),
				el("dl", { class: "facts" }, ...facts(it).flatMap(([name, value]) => [el("div", {}, el("dt", {}, name), el("dd", {}, value))])),
			),
			it.attributes && el("section", {}, el("h2", {}, "Attributes"), json(it.attributes)),
		];
	}
}

/** A text of several lines. @param {string} title @param {string} text @param {string} [kind] */
const text = (title, text, kind) => el("div", { class: `text ${kind ?? ""}` }, el("h2", {}, title), el("div", { class: "lines" }, said(text)));

/** Two incidents side by side. @param {Page} page */
export function compare({ host, query, signal, title }) {
	title("Compare");
	const ids = (query.get("ids") ?? "").match(/\b\d{1,16}\b/g) ?? [];
	const [one, other] = new Set(ids);
	put(host, heading("Compare two incidents"));
	if (!one || !other) {
		put(host, empty(el("p", {}, "Choose two incidents in the ", el("a", { href: at("incidents") }, "list"), ".")));
		return;
	}
	const first = section(`Incident ${one}`, {
		signal,
		question: { path: `/api/v1/incidents/${one}` },
		draw: (/** @type {Detail} */ left) => {
			const question = { path: `/api/v1/incidents/${other}` };
			const rest = section(`Incident ${other}`, { signal, question, draw: right => [sideBySide(left, right)] });
			const times = el(
				"div",
				{ class: "pair" },
				...[one, other].map(id =>
					section(`Timeline of ${id}`, {
						signal,
						question: { path: `/api/v1/incidents/${id}/timeline` },
						draw: ({ data }) => [data.length > 0 ? drawnTimeline(data) : empty("Nothing is known of its steps.")],
					}),
				),
			);
			return [rest, times];
		},
	});
	put(host, first);
}

/** @param {Detail} left @param {Detail} right */
function sideBySide(left, right) {
	const texts = (/** @type {Detail} */ it) =>
		/** @type {[string, Child][]} */ ([
			["Reasoning", known(it.reasoning)],
			["Error", known(it.error_message)],
			["Attributes", it.attributes ? json(it.attributes) : known(null)],
		]);
	const [mine, theirs] = [left, right].map(it => [...facts(it), ...texts(it)]);
	const rows = (mine ?? []).map(([name, value], at) => {
		const beside = theirs?.[at]?.[1];
		const written = (/** @type {Child} */ child) => (child instanceof Node ? child.textContent : String(child));
		const isSame = written(value) === written(beside);
		return { class: isSame ? "same" : "differs", cells: [[name], [value], [beside], [isSame ? "same" : "differs"]] };
	});
	const name = (/** @type {Detail} */ it) => `${it.alert_name ?? "incident"} ${it.id}`;
	return el(
		"div",
		{},
		el("p", {}, incidentLink(left), ` (${left.id}) and `, incidentLink(right), ` (${right.id})`),
		table("Both incidents", ["Fact", name(left), name(right), "Difference"], rows),
	);
}
