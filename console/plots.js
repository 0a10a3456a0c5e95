// Drawings. Beside each stands a table or a text with its numbers.

import { plain, svg } from "./dom.js";
import { day, duration } from "./time.js";

/** @typedef {{ time: string, counts: Record<string, number> }} Count */

/** The width of a drawing: on a narrow screen less, so that its text can be read. */
const width = () => Math.min(Math.max(innerWidth - 40, 320), 720);
export const STATUSES = ["completed", "failed", "rolled_back", "cancelled", "in_progress", "pending"];

/** @param {string} label @param {number} height @param {(SVGElement | null)[]} children @param {string} [kind] */
const drawing = (label, height, children, kind = "") =>
	svg("svg", { class: `plot ${kind}`, role: "img", "aria-label": plain(label), viewBox: `0 0 ${width()} ${height}` }, ...children);

/** @param {number} number */
const round = number => Math.round(number * 10) / 10;

/** A rate between 0 and 1, with its interval as a line. @param {number | null} share @param {number[] | null} bounds */
export function interval(share, bounds) {
	const scale = (/** @type {number} */ part) => round(2 + part * 96);
	const [low = 0, high = 0] = bounds ?? [];
	return svg(
		"svg",
		{ class: "interval", viewBox: "0 0 100 12", "aria-hidden": "true" },
		svg("line", { x1: 2, x2: 98, y1: 6, y2: 6, class: "axis" }),
		bounds && svg("rect", { x: scale(low), width: Math.max(scale(high) - scale(low), 1), y: 3.5, height: 5, rx: 2, class: "range" }),
		share !== null && svg("circle", { cx: scale(share), cy: 6, r: 3.5, class: "point" }),
	);
}

/** A share of one as a bar. @param {number} share */
export const bar = share =>
	svg(
		"svg",
		{ class: "bar", viewBox: "0 0 100 8", "aria-hidden": "true", preserveAspectRatio: "none" },
		svg("rect", { x: 0, y: 0, width: 100, height: 8, rx: 2, class: "track" }),
		svg("rect", { x: 0, y: 0, width: round(100 * Math.min(Math.max(share, 0), 1)), height: 8, rx: 2, class: "fill" }),
	);

/** A silence longer than this share of the whole may be cut short, to this many pixels. */
const [GAP, CUT] = [0.25, 50];

/**
 * Moments along their time, each with how long it took. A long silence is drawn short, with a mark that says how long it was.
 * @param {Moment[]} moments in order
 */
export function timeline(moments) {
	const row = 22;
	const [left, right, top] = [150, 20, 8];
	const first = Math.min(...moments.map(({ at }) => at));
	const whole = Math.max(...moments.map(({ at, took }) => at + took)) - first;
	/** @type {{ from: number, to: number }[]} silences, in milliseconds from the first moment */
	const gaps = [];
	let heard = 0;
	for (const { at, took } of [...moments].sort((a, b) => a.at - b.at)) {
		if (at - first - heard > whole * GAP && moments.length > 2) gaps.push({ from: heard, to: at - first });
		heard = Math.max(heard, at - first + took);
	}
	const silent = gaps.reduce((sum, { from, to }) => sum + to - from, 0);
	// Silences of less than two thirds of the time are drawn at full length.
	if (silent < 2 * (whole - silent)) gaps.length = 0;
	const room = width() - left - right - CUT * gaps.length;
	const scale = room / Math.max(gaps.length > 0 ? whole - silent : whole, 1);
	const x = (/** @type {number} */ offset) =>
		round(gaps.reduce((x, { from, to }) => (offset >= to ? x + CUT - (to - from) * scale : x), left + offset * scale));
	const height = top + row * moments.length + 22;
	const rows = moments.map(({ at, took, label, status, kind }, index) => {
		const [from, y] = [at - first, top + row * index];
		return svg(
			"g",
			{ class: `moment is-${status} ${kind}` },
			svg("title", {}, `${label}: ${status}, +${duration(from)}${took ? `, took ${duration(took)}` : ""}`),
			svg("text", { x: left - 8, y: y + 15, class: "end" }, [...label].length > 20 ? `${[...label].slice(0, 19).join("")}…` : label),
			svg("line", { x1: left, x2: width() - right, y1: y + 11, y2: y + 11, class: "axis" }),
			took > 0
				? svg("rect", { x: x(from), y: y + 4, width: Math.max(round(took * scale), 3), height: 14, rx: 3 })
				: svg("circle", { cx: x(from), cy: y + 11, r: 5 }),
		);
	});
	const cuts = gaps.map(({ from, to }) => {
		const middle = (x(from) + x(to)) / 2;
		return svg(
			"g",
			{ class: "gap" },
			svg("line", { x1: middle, x2: middle, y1: top, y2: height - 20 }),
			svg("text", { x: middle, y: height - 6, class: "middle" }, `${duration(to - from)} of silence`),
		);
	});
	const ends = [
		gaps.length === 0 ? svg("text", { x: left, y: height - 6, class: "tick" }, "+0s") : null,
		svg("text", { x: width() - right, y: height - 6, class: "tick end" }, `+${duration(whole)}`),
	];
	return drawing(`Timeline of ${moments.length} events over ${duration(whole)}`, height, [...rows, ...cuts, ...ends], "timeline");
}

/** @param {string[]} times @param {(at: number) => number} x @param {number} y */
function days(times, x, y) {
	const every = Math.max(Math.ceil(times.length / 8), 1);
	return times.map((time, at) => (at % every === 0 ? svg("text", { x: x(at), y, class: "tick middle" }, day(time)) : null));
}

/** The time behind a time, in UTC. @param {string} time @param {string} interval hour, day, week or month */
function behind(time, interval) {
	const date = new Date(time);
	if (interval === "month") date.setUTCMonth(date.getUTCMonth() + 1);
	else date.setTime(date.getTime() + ({ hour: 1, day: 24, week: 168 }[interval] ?? 24) * 3_600_000);
	return date.toISOString().replace(".000", "");
}

/**
 * The entries and the empty times between them.
 * @template {{ time: string }} T @param {T[]} entries in order of time @param {string} interval @param {(time: string) => T} nothing
 */
export function everyTime(entries, interval, nothing) {
	const all = entries.slice(0, 1);
	for (const entry of entries.slice(1)) {
		for (let time = behind(all.at(-1)?.time ?? "", interval); time < entry.time && all.length < 2000; time = behind(time, interval)) all.push(nothing(time));
		all.push(entry);
	}
	return all;
}

/** Incidents over time, stacked by status. @param {Count[]} counts in order of time */
export function countsOverTime(counts) {
	const [left, top, height] = [44, 8, 140];
	const step = (width() - left - 8) / Math.max(counts.length, 1);
	const sum = (/** @type {Count} */ count) => STATUSES.reduce((sum, status) => sum + (count.counts[status] ?? 0), 0);
	const most = Math.max(...counts.map(sum), 1);
	const bars = counts.map((count, at) => {
		let y = top + height;
		const parts = STATUSES.map(status => {
			const part = (height * (count.counts[status] ?? 0)) / most;
			y -= part;
			const width = round(Math.min(step * 0.8, 60));
			return part > 0
				? svg("rect", {
						x: round(left + step * (at + 0.5) - width / 2),
						y: round(y),
						width,
						height: round(part),
						class: `is-${status}`,
					})
				: null;
		});
		const words = STATUSES.flatMap(status => (count.counts[status] ? [`${count.counts[status]} ${status}`] : []));
		return svg("g", {}, svg("title", {}, `${day(count.time)}: ${words.join(", ")}`), ...parts);
	});
	const axis = [
		svg("line", { x1: left, x2: width() - 8, y1: top + height, y2: top + height, class: "axis" }),
		svg("text", { x: left - 6, y: top + 10, class: "tick end" }, String(most)),
		svg("text", { x: left - 6, y: top + height, class: "tick end" }, "0"),
	];
	const times = counts.map(({ time }) => time);
	const label = `Incidents over time by status: at most ${most} at once, ${counts.length} times`;
	return drawing(label, top + height + 24, [...bars, ...axis, ...days(times, at => round(left + step * (at + 0.5)), top + height + 18)]);
}

/** Rates over time with their intervals. @param {{ time: string, n: number, share: number | null, bounds: number[] | null }[]} rates in order of time */
export function ratesOverTime(rates) {
	const [left, top, height] = [44, 8, 140];
	const step = (width() - left - 8) / Math.max(rates.length, 1);
	const x = (/** @type {number} */ at) => round(left + step * (at + 0.5));
	const y = (/** @type {number} */ share) => round(top + height * (1 - share));
	const grid = [0, 0.5, 1].flatMap(share => [
		svg("line", { x1: left, x2: width() - 8, y1: y(share), y2: y(share), class: "axis" }),
		svg("text", { x: left - 6, y: y(share) + 4, class: "tick end" }, `${share * 100} %`),
	]);
	const points = rates.map(({ time, n, share, bounds }, at) =>
		share === null
			? null
			: svg(
					"g",
					{},
					svg("title", {}, `${day(time)}: ${Math.round(share * 100)} % of ${n}`),
					bounds && svg("line", { x1: x(at), x2: x(at), y1: y(bounds[0] ?? 0), y2: y(bounds[1] ?? 1), class: "spread" }),
					svg("circle", { cx: x(at), cy: y(share), r: 4, class: "point" }),
				),
	);
	// The line joins neighbours alone.
	const lines = rates.map(({ share }, at) => {
		const next = rates[at + 1]?.share ?? null;
		return share === null || next === null ? null : svg("polyline", { points: `${x(at)},${y(share)} ${x(at + 1)},${y(next)}`, class: "trend" });
	});
	return drawing(`Success rate over ${rates.length} times`, top + height + 24, [
		...grid,
		...lines,
		...points,
		...days(
			rates.map(({ time }) => time),
			x,
			top + height + 18,
		),
	]);
}

/** How often, as a small line. @param {number[]} counts @param {string} label */
export function sparkline(counts, label) {
	const most = Math.max(...counts, 1);
	const step = counts.length > 1 ? 96 / (counts.length - 1) : 0;
	const points = counts.map((count, at) => `${round(2 + at * step)},${round(18 - (16 * count) / most)}`).join(" ");
	return svg("svg", { class: "sparkline", viewBox: "0 0 100 20", role: "img", "aria-label": label }, svg("polyline", { points, class: "trend" }));
}
