// The public API, as any other client uses it.

const KEPT = "data-storage.console.token";
/** How long an answer is waited for, in milliseconds. */
const PATIENCE = 20_000;

/** In memory alone, or with the tab where its owner wants that. Never in an address. */
let token = "";
try {
	token = sessionStorage.getItem(KEPT) ?? "";
} catch {
	// Storage may be forbidden.
}

export const hasToken = () => token !== "";

/** @type {() => void} */
let changed = () => {};
/** @param {() => void} tell is called now and at each change */
export function whenTokenChanges(tell) {
	changed = tell;
	tell();
}

/** @param {string} given @param {boolean} isKept whether it lasts as long as the tab */
export function setToken(given, isKept) {
	token = given.trim();
	try {
		if (token && isKept) sessionStorage.setItem(KEPT, token);
		else sessionStorage.removeItem(KEPT);
	} catch {
		// As above.
	}
	changed();
}

/** Why there is no answer. `status` is HTTP's; 0: nothing came, -1: it cannot be read. */
export class Refused extends Error {
	/** @param {number} status @param {string} message @param {Partial<Schemas["RFC7807Error"]>} [problem] @param {number} [retryAfter] seconds */
	constructor(status, message, problem = {}, retryAfter = 0) {
		super(message);
		this.status = status;
		this.problem = problem;
		this.retryAfter = retryAfter;
	}
}

/** @param {Question} question */
const target = ({ path, query }) => (query && query.size > 0 ? `${path}?${query}` : path);

/** @param {Question} question @param {AbortSignal} signal @param {string} [tag] */
async function send(question, signal, tag) {
	/** @type {Record<string, string>} */
	const headers = { Accept: "application/json" };
	if (token) headers.Authorization = `Bearer ${token}`;
	if (tag) headers["If-None-Match"] = tag;
	if (question.body) headers["Content-Type"] = "application/json";
	const late = AbortSignal.timeout(PATIENCE);
	const asked = {
		method: question.body ? "POST" : "GET",
		headers,
		body: question.body && JSON.stringify(question.body),
		signal: AbortSignal.any([signal, late]),
		credentials: /** @type {const} */ ("omit"),
		redirect: /** @type {const} */ ("error"),
	};
	try {
		const answer = await fetch(target(question), asked);
		return { answer, text: answer.status === 304 ? "" : await answer.text() };
	} catch (error) {
		if (signal.aborted) throw error;
		throw new Refused(0, late.aborted ? "The service did not answer in time." : "The service cannot be reached.");
	}
}

/** Keeps a number that JavaScript would round as it was written: attributes may have any. @param {string} _ @param {any} value @param {any} [context] */
function exact(_, value, context) {
	const isRounded = typeof value === "number" && context?.source.length > 15 && String(value) !== context.source;
	return isRounded && "rawJSON" in JSON ? /** @type {any} */ (JSON).rawJSON(context.source) : value;
}

/** @param {string} text @returns {any} */
function parsed(text) {
	try {
		return JSON.parse(text, exact);
	} catch {
		return undefined;
	}
}

/**
 * Asks, and gives the answer; `null` if it is still the one of the tag.
 * @param {Question} question @param {AbortSignal} signal @param {string} [tag]
 * @returns {Promise<{ data: any, tag: string } | null>}
 */
export async function ask(question, signal, tag) {
	const { answer, text } = await send(question, signal, tag);
	if (answer.status === 304) return null;
	const data = parsed(text);
	if (!answer.ok) {
		const message = typeof data?.detail === "string" ? data.detail : `The answer was ${answer.status}.`;
		throw new Refused(answer.status, message, data ?? {}, Number(answer.headers.get("Retry-After")) || 0);
	}
	if (data === null || typeof data !== "object") throw new Refused(-1, "The answer is not one of this service.");
	return { data, tag: answer.headers.get("ETag") ?? "" };
}

/** As a shell reads it. @param {string} text */
const quoted = text => `'${text.replaceAll("'", "'\\''")}'`;

/** JSON that shows each character that is not plain ASCII by its number. @param {object} value */
const inAscii = value => JSON.stringify(value).replace(/[^ -~]/g, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** The question as a command. The token stays in its variable. @param {Question} question */
export function curl(question) {
	const parts = ["curl", "-sS", "--fail-with-body", quoted(location.origin + target(question))];
	if (token) parts.push("-H", '"Authorization: Bearer $DATA_STORAGE_TOKEN"');
	if (question.body) parts.push("-H", quoted("Content-Type: application/json"), "-d", quoted(inAscii(question.body)));
	return parts.join(" ");
}
