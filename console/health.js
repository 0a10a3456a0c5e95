// What of the service works, and what does not.

import { ask } from "./api.js";
import { el, put, said, show } from "./dom.js";
import { copiers, heading, table, trouble } from "./parts.js";

const OFTEN = 5000;
/** @param {any} part */
function state(part) {
	if (part.state === undefined) return el("span", {}, "–");
	const kind = part.state === "up" ? "completed" : part.state === "starting" ? "in_progress" : "failed";
	return el(
		"span",
		{ class: `badge is-${kind}` },
		el("span", { "aria-hidden": "true" }, part.state === "up" ? "✓" : part.state === "starting" ? "◐" : "✗"),
		" ",
		said(String(part.state)),
	);
}

/** @param {string} name @param {any} part */
function reasonOf(name, part) {
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
	const [told, body] = [el("div", { role: "status" }), el("div")];
	let shown = "";
	put(
		host,
		el(
			"div",
			{ class: "head" },
			heading("Health"),
			copiers(() => [question, last]),
		),
		told,
		body,
	);
	const again = async () => {
		try {
			const answer = await ask(question, signal);
			last = answer?.data;
			const parts = Object.entries(last.parts).map(([name, part]) => ({
				cells: [[name.replaceAll("_", " ")], [state(part)], [said(reasonOf(name, part))]],
			}));
			const words = last.draining ? "The service is stopping." : last.status === "ok" ? "All parts work." : "Some parts do not work; the others go on.";
			const text = JSON.stringify(last);
			if (text === shown) return;
			shown = text;
			show(told, el("p", { class: `verdict ${last.status === "ok" ? "good" : "bad"}` }, words, ` Version ${last.version}.`));
			show(body, table("Parts of the service", ["Part", "State", "Why"], parts));
		} catch (error) {
			shown = "";
			show(told);
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
