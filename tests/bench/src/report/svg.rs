//! Plots drawn as inline SVG: bars of ratios with their goals, curves of latency.

use std::fmt::Write;

use super::html::escaped;
use super::{Curve, Goal, Row, Verdict, number};

/// Strokes of curves, told apart without colour by the order of the legend.
const COLOURS: [&str; 6] = ["#1f5fa8", "#c2571a", "#2f7d4f", "#7a3e9d", "#a8862a", "#555555"];
const WIDTH: f64 = 820.0;
const LABELS: f64 = 320.0;
const BAR: f64 = 26.0;

/// Bars of the rows that have a goal, as shares of their goal: the line at 1 is the goal.
pub(super) fn bars(rows: &[&Row]) -> String {
    let shares: Vec<_> =
        rows.iter().filter_map(|row| Some((*row, share(row, row.goal?)))).collect();
    let most = shares.iter().map(|(_, share)| *share).fold(1.5, f64::max).min(6.0);
    let scale = (WIDTH - LABELS - 150.0) / most;
    let height = BAR * shares.len() as f64 + 24.0;
    let mut out = open(height);
    for (index, (row, share)) in shares.iter().enumerate() {
        let y = BAR * index as f64 + 4.0;
        let long = share.clamp(0.0, most) * scale;
        let class = if row.verdict() == Some(Verdict::Met) { "met" } else { "miss" };
        let goal = row.goal.map(|goal| goal.to_string()).unwrap_or_default();
        let text = format!("{} {} (goal {goal})", number(row.median()), row.unit);
        let _ = write!(
            out,
            r#"<text x="{LABELS}" y="{}" text-anchor="end" dx="-8">{}</text><rect class="{class}" x="{LABELS}" y="{y}" width="{long:.1}" height="18"/><text x="{:.1}" y="{}">{}</text>"#,
            y + 13.0,
            escaped(&row.what),
            LABELS + long + 6.0,
            y + 13.0,
            escaped(&text),
        );
    }
    let x = LABELS + scale;
    let _ = write!(
        out,
        r#"<line class="goal" x1="{x:.1}" x2="{x:.1}" y1="0" y2="{}"/><text x="{x:.1}" y="{}" text-anchor="middle">goal</text></svg>"#,
        height - 18.0,
        height - 4.0
    );
    out
}

/// How far a median is on its way to the goal: 1 is the goal, more is better.
fn share(row: &Row, goal: Goal) -> f64 {
    let share = match goal {
        Goal::AtLeast(least) => row.median() / least,
        Goal::AtMost(most) => most / row.median(),
    };
    if share.is_finite() { share } else { 0.0 }
}

/// Cumulative curves over a logarithmic axis of milliseconds.
pub(super) fn curves(curves: &[Curve]) -> String {
    let there: Vec<_> = curves.iter().filter(|curve| curve.count > 0).collect();
    let all = || there.iter().flat_map(|curve| &curve.points).map(|(_, ms)| ms.max(0.01));
    let first = all().fold(f64::MAX, f64::min).log10().floor();
    let last = all().fold(f64::MIN, f64::max).log10().ceil().max(first + 1.0);
    let (left, right, top, bottom) = (48.0, WIDTH - 300.0, 8.0, 260.0);
    let x = |ms: f64| left + (ms.max(0.01).log10() - first) / (last - first) * (right - left);
    let y = |percent: f64| bottom - percent / 100.0 * (bottom - top);
    let mut out = open(290.0);
    for percent in [0.0, 50.0, 90.0, 99.0] {
        let at = y(percent);
        let _ = write!(
            out,
            r#"<line class="grid" x1="{left}" x2="{right}" y1="{at:.1}" y2="{at:.1}"/><text x="{}" y="{:.1}" text-anchor="end">{percent}%</text>"#,
            left - 4.0,
            at + 4.0
        );
    }
    for decade in first as i32..=last as i32 {
        let at = x(10f64.powi(decade));
        let label = 10f64.powi(decade);
        let _ = write!(
            out,
            r#"<line class="grid" x1="{at:.1}" x2="{at:.1}" y1="{top}" y2="{bottom}"/><text x="{at:.1}" y="{}" text-anchor="middle">{label} ms</text>"#,
            bottom + 16.0
        );
    }
    for (index, curve) in there.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let points: Vec<_> =
            curve.points.iter().map(|(p, ms)| format!("{:.1},{:.1}", x(*ms), y(*p))).collect();
        let legend = top + 16.0 * index as f64 + 10.0;
        let _ = write!(
            out,
            r#"<polyline fill="none" stroke="{colour}" stroke-width="2" points="{}"/><rect x="{}" y="{}" width="10" height="10" fill="{colour}"/><text x="{}" y="{}">{}</text>"#,
            points.join(" "),
            right + 16.0,
            legend - 9.0,
            right + 32.0,
            legend,
            escaped(&curve.name)
        );
    }
    out.push_str("</svg>");
    out
}

fn open(height: f64) -> String {
    format!(r#"<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">"#)
}
