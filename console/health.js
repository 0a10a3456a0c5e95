// What of the service works, and what does not.

import { ask } from "./api.js";
import { el, put, said, show } from "./dom.js";
import { copiers, heading, table, trouble } from "./parts.js";

const OFTEN = 5000;
/** What each part is for. @type {Record<string, string>} */
const PARTS = {
	write_database: "writes of audits",
	read_database: "lists, incidents and statistics",
	vector_write_database: "what makes audits searchable",
	vector_read_database: "searches",
	kubernetes_api: "tokens of writers",
	outbox: "audits that wait to be searchable",
	embedder: "texts to vectors",
};

/** @param {any} part */
function state(part) {
	if (part.state === undefined) return el("span", {}, "–");
	const kind = part.state === "up" ? "completed" : part.state === "starting" ? "in_progress" : "failed";
	return el("span", { class: `badge is-${kind}` }, el("span", { "aria-hidden": "true" }, part.state === "up" ? "✓" : "✗"), " ", said(String(part.state)));
}

/** @param {string} name @param {any} part */
function told(name, part) {
	if (name === "outbox") return `${part.rows} waiting, the oldest for ${Math.round(part.lag_seconds)} s`;
	if (name === "embedder") return `${part.id}${part.reindex_needed ? `; ${part.configured} is configured: run reindex` : ""}`;
	return part.reason ?? (part.migrated === false ? "not migrated yet" : "");
}

/** @param {Page} page */
export function health({ host, signal, title }) {
	title("Health");
	const question = { path: "/health" };
	/** @type {any} */
	let last = null;
	const body = el("div", { role: "status" });
	put(
		host,
		el(
			"div",
			{ class: "head" },
			heading("Health"),
			copiers(
				() => question,
				() => last,
			),
		),
		body,
	);
	const again = async () => {
		try {
			const answer = await ask(question, signal);
			last = answer?.data;
			const parts = Object.entries(last.parts).map(([name, part]) => ({
				cells: [[name.replaceAll("_", " ")], [state(part)], [said(told(name, part))], [PARTS[name] ?? ""]],
			}));
			const words = last.draining ? "The service is stopping." : last.status === "ok" ? "All parts work." : "Some parts do not work; the others go on.";
			show(
				body,
				el("p", { class: `verdict ${last.status === "ok" ? "good" : "bad"}` }, words, ` Version ${last.version}.`),
				table("Parts of the service", ["Part", "State", "Why", "Needed for"], parts),
			);
		} catch (error) {
			if (!signal.aborted) show(body, trouble(error, again));
		}
	};
	const turns = async () => {
		while (!signal.aborted) {
			if (!document.hidden) await again();
			await new Promise(resolve => setTimeout(resolve, OFTEN));
		}
	};
	void turns();
	put(host, el("p", {}, "The API is described at ", el("a", { href: "/docs" }, "/docs"), "; the pages for operators say what each state means."));
}
