// Times and durations, as people read them.

import { el } from "./dom.js";
import { preference } from "./preferences.js";

const UNITS = /** @type {const} */ ([
	["day", 86_400_000],
	["hour", 3_600_000],
	["minute", 60_000],
	["second", 1000],
]);
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "narrow" });
const pad = (/** @type {number} */ number, width = 2) => String(number).padStart(width, "0");

/** `2 h ago`. @param {number} at @param {number} now both in milliseconds since 1970 */
function relative(at, now) {
	const [unit, size] = UNITS.find(([, size]) => Math.abs(at - now) >= size) ?? ["second", 1000];
	return RELATIVE.format(Math.round((at - now) / size), unit);
}

/** `2026-11-29 23:10:53 UTC`, or with the offset of the reader's zone. @param {Date} date @param {boolean} isUtc */
function absolute(date, isUtc) {
	const offset = isUtc ? 0 : -date.getTimezoneOffset();
	const moved = new Date(date.getTime() + offset * 60_000);
	const sign = offset < 0 ? "-" : "+";
	const zone = isUtc ? "UTC" : `${sign}${pad(Math.floor(Math.abs(offset) / 60))}:${pad(Math.abs(offset) % 60)}`;
	return `${moved.toISOString().slice(0, 19).replace("T", " ")} ${zone}`;
}

/** @param {string} iso @param {string} mode */
function written(iso, mode) {
	const date = new Date(iso);
	if (Number.isNaN(date.getTime())) return iso;
	return mode === "relative" ? relative(date.getTime(), Date.now()) : absolute(date, mode === "utc");
}

/** @param {string} iso @param {string} form `when`: as the reader wants it, `fully`: with date and zone, `ago` */
function timeOf(iso, form) {
	const isTime = !Number.isNaN(Date.parse(iso));
	const title = isTime ? `${absolute(new Date(iso), false)} · ${iso}` : undefined;
	return el("time", { datetime: iso, title, "data-form": form }, written(iso, modeOf(form)));
}

/** @param {string} form @param {string} [mode] */
const modeOf = (form, mode = preference("times")) => (form === "ago" ? "relative" : form === "fully" && mode === "relative" ? "local" : mode);

/** A time as the reader wants it, the other forms in its title. @param {string} iso RFC 3339 */
export const when = iso => timeOf(iso, "when");

/** Both forms of a time, where there is room for them. @param {string} iso */
export const whenFully = iso => el("span", {}, timeOf(iso, "fully"), " (", timeOf(iso, "ago"), ")");

/** Writes all times of the page anew. @param {string} [mode] */
export function rewriteTimes(mode) {
	for (const time of document.querySelectorAll("time[data-form]")) {
		const text = written(time.getAttribute("datetime") ?? "", modeOf(time.getAttribute("data-form") ?? "", mode));
		if (time.textContent !== text) time.textContent = text;
	}
}

addEventListener("beforeprint", () => rewriteTimes(preference("times") === "utc" ? "utc" : "local"));
addEventListener("afterprint", () => rewriteTimes());
setInterval(() => rewriteTimes(), 10_000);

/** `7.1s`, `2m 5s`, `3h 10m`. @param {number | null | undefined} milliseconds */
export function duration(milliseconds) {
	if (milliseconds === null || milliseconds === undefined) return "–";
	const seconds = milliseconds / 1000;
	if (milliseconds < 1000) return `${Math.round(milliseconds)}ms`;
	if (seconds < 60) return `${seconds.toFixed(1)}s`;
	if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${Math.floor(seconds % 60)}s`;
	if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h ${Math.floor((seconds % 3600) / 60)}m`;
	return `${Math.floor(seconds / 86_400)}d ${Math.floor((seconds % 86_400) / 3600)}h`;
}

/** The day of a time, in UTC: `2026-11-29`; the hour where it is not midnight: `11-29 10:00`. @param {string} iso */
export const day = iso => (/T00:00:00/.test(iso) ? iso.slice(0, 10) : iso.slice(5, 16).replace("T", " "));
