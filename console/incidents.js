// The list of incidents: filters with counts, pages, and following.

import { ask, Refused } from "./api.js";
import { button, el, known, said, show } from "./dom.js";
import { choice, filtered, filtersOf } from "./filters.js";
import { announce, badge, empty, incidentLink, load, severityBadge, table, trouble } from "./parts.js";
import { at, changed, go } from "./router.js";
import { duration, when } from "./time.js";

/** How often the head of the list is asked for again, in milliseconds. */
const OFTEN = 3000;
const SIZES = ["25", "50", "100", "500", "1000"];

/** @param {Query} query */
const sizeOf = query => SIZES.find(size => size === query.get("limit")) ?? "50";

/** The list's question. @param {Query} query */
function question(query) {
	const asked = filtersOf(query);
	asked.set("limit", sizeOf(query));
	for (const name of ["order", "cursor"]) if (query.get(name)) asked.set(name, query.get(name) ?? "");
	return { path: "/api/v1/incidents", query: asked };
}

/** @param {Page} page */
export function incidents(page) {
	page.title("Incidents");
	let { query } = page;
	const [list, stale] = [el("div", { id: "list" }), el("div")];
	/** What is compared. @type {Set<number>} */
	const compared = new Set();
	/** @type {Schemas["IncidentListResponse"] | null} */
	let last = null;

	const isFollowing = () => query.get("follow") === "1" && !query.get("cursor") && query.get("order") !== "oldest";

	/** @type {Controls} */
	const controls = (query, move) => {
		const follow = el("input", {
			type: "checkbox",
			id: "follow",
			checked: isFollowing(),
			disabled: !!query.get("cursor") || query.get("order") === "oldest",
		});
		follow.addEventListener("change", () => go(at("incidents", changed(query, { follow: follow.checked ? "1" : "" })), true));
		const orders = { "": "newest first", oldest: "oldest first" };
		const order = choice("order", "Order", orders, query.get("order") ?? "", value => move(changed(query, { order: value, cursor: "", follow: "" })));
		const chosen = [...compared];
		const text = chosen.length === 0 ? "Compare: tick two" : chosen.length === 1 ? `Compare ${chosen[0]} with …` : `Compare ${chosen.join(" and ")}`;
		const ids = new URLSearchParams({ ids: chosen.join(",") });
		const compare = button(text, () => go(at("compare", ids)), { id: "compare", disabled: chosen.length !== 2 });
		const following = el("label", { for: "follow" }, follow, " Follow");
		return [order, following, compare];
	};

	/** @param {Incident} incident @param {boolean} isNew */
	function row(incident, isNew) {
		const box = el("input", {
			type: "checkbox",
			"aria-label": `Compare incident ${incident.id}`,
			checked: compared.has(incident.id),
			id: `compare-${incident.id}`,
		});
		box.addEventListener("change", () => {
			if (box.checked) compared.add(incident.id);
			else compared.delete(incident.id);
			// A third takes the place of the first.
			const [first] = compared;
			if (first && compared.size > 2) {
				compared.delete(first);
				const other = document.getElementById(`compare-${first}`);
				if (other instanceof HTMLInputElement) other.checked = false;
			}
			view.redraw();
		});
		const error = incident.error_message && el("div", { class: "muted cut" }, said(incident.error_message));
		return {
			class: isNew ? "new" : undefined,
			cells: [
				[box],
				[when(incident.action_timestamp)],
				[incidentLink(incident, `incident-${incident.id}`), error],
				[severityBadge(incident.alert_severity)],
				[badge(incident.execution_status)],
				[known(incident.action_type)],
				[known(incident.target_resource)],
				[known(incident.namespace)],
				[known(incident.cluster_name)],
				[duration(incident.duration)],
			],
		};
	}

	/** @param {Schemas["IncidentListResponse"]} answer */
	function draw(answer) {
		const drawn = listOf(answer, last && isFollowing() ? new Set(last.data.map(({ id }) => id)) : null);
		last = answer;
		return drawn;
	}

	/** @param {Schemas["IncidentListResponse"]} answer @param {Set<number> | null} before what was there, where the list is followed */
	function listOf({ data, pagination }, before) {
		const isFiltered = filtersOf(query).size > 0;
		if (data.length === 0) {
			if (query.get("cursor"))
				return [empty(el("p", {}, "There are no more incidents."), el("a", { href: at("incidents", changed(query, { cursor: "" })) }, "First page"))];
			return [
				isFiltered
					? empty(
							el("h2", {}, "No incident fits these filters"),
							el("p", {}, "Take one away, look at its spelling, or choose a longer span. A search finds names that are nearly so."),
						)
					: empty(
							el("h2", {}, "No incident yet"),
							el("p", {}, "Incidents come of the audits that writers post. The reference says how: "),
							el("a", { href: "/docs" }, "/docs"),
						),
			];
		}
		const fresh = before ? data.filter(({ id }) => !before.has(id)).length : 0;
		if (before && fresh > 0) announce(`${fresh} new ${fresh === 1 ? "incident" : "incidents"}`);
		const total = pagination.total ?? 0;
		const pages = el(
			"nav",
			{ class: "pages", "aria-label": "Pages" },
			query.get("cursor") && el("a", { href: at("incidents", changed(query, { cursor: "" })), id: "first-page" }, "First page"),
			pagination.next_cursor &&
				el("a", { href: at("incidents", changed(query, { cursor: pagination.next_cursor, follow: "" })), id: "next-page" }, "Next page"),
		);
		return [
			el(
				"p",
				{ class: "total", role: "status" },
				el("strong", {}, total.toLocaleString("en")),
				total === 1 ? " incident" : " incidents",
				isFiltered && " fit",
				`, ${data.length} shown`,
			),
			table(
				"Incidents",
				["Compare", "Began", "Alert", "Severity", "Status", "Action", "Target", "Namespace", "Cluster", "Took"],
				data.map(incident => row(incident, !!before && !before.has(incident.id))),
			),
			pages,
		];
	}

	/** Asks for the first page again and again, while it is seen. @param {AbortSignal} until @param {string} tag
	 * @param {(answer: unknown) => void} keep */
	async function askAgain(until, tag, keep) {
		let pause = OFTEN;
		while (isFollowing() && !until.aborted) {
			await new Promise(resolve => setTimeout(resolve, pause));
			if (until.aborted || !isFollowing()) return;
			if (document.hidden) continue;
			pause = OFTEN;
			try {
				const answer = await ask(question(query), until, tag);
				if (answer) {
					const drawn = draw(answer.data);
					tag = answer.tag;
					keep(answer.data);
					show(list, ...drawn);
					void view.panel.count();
				}
				show(stale);
			} catch (error) {
				if (until.aborted) return;
				// What is shown stays. What would be refused again is for the reader.
				const refused = error instanceof Refused ? error : new Refused(-1, "The answer is not one of this service.");
				if ([400, 401, 403].includes(refused.status))
					return show(
						stale,
						trouble(refused, () => view.update(query)),
					);
				pause = Math.max(OFTEN, refused.retryAfter * 1000);
				show(stale, el("p", { class: "notice", role: "status" }, `${refused.message} What is shown is older; the console tries again.`));
			}
		}
	}

	/** @type {Follow} */
	const follow = (state, until, keep) => {
		if (state.get("cursor") !== query.get("cursor")) scrollTo(0, 0);
		query = state;
		last = null;
		show(stale);
		/** @type {Draw} */
		const drawn = (answer, tag, until) => {
			keep(answer);
			void askAgain(until, tag, keep);
			return draw(answer);
		};
		void load({ host: list, signal: until, question: question(state), draw: drawn });
	};

	const view = filtered(page, { name: "incidents", title: "Incidents", isOpen: true, below: [stale, list], question, controls, follow });
	view.update(query);
	return view.update;
}
