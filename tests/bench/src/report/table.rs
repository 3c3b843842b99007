//! The report as text in columns.

use std::fmt::Write;

use super::{Report, Row, Section, number};

pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    for (name, value) in &report.facts {
        let _ = writeln!(out, "{name:<14} {value}");
    }
    for section in &report.sections {
        render_section(&mut out, section);
    }
    out
}

fn cells(row: &Row) -> [String; 6] {
    let spread = match row.samples.len() {
        0 | 1 => String::new(),
        _ => format!("{} .. {}", number(row.min()), number(row.max())),
    };
    [
        row.what.clone(),
        number(row.median()),
        row.unit.clone(),
        spread,
        row.goal.map(|goal| goal.to_string()).unwrap_or_default(),
        row.verdict().map(|verdict| verdict.to_string()).unwrap_or_default(),
    ]
}

fn render_section(out: &mut String, section: &Section) {
    let _ = writeln!(out, "\n{}: {}", section.workload, section.title);
    let head = ["", "median", "unit", "min .. max", "goal", ""].map(str::to_owned);
    let lines: Vec<_> = std::iter::once(head).chain(section.rows.iter().map(cells)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths = [0, 1, 2, 3, 4, 5].map(|column| width(column).unwrap_or(0));
    for line in &lines {
        let mut text = String::from(" ");
        for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
            let _ = match column {
                1 => write!(text, " {cell:>width$} "),
                _ => write!(text, " {cell:<width$} "),
            };
        }
        let _ = writeln!(out, "{}", text.trim_end());
    }
    for curve in section.curves.iter().filter(|curve| curve.count > 0) {
        let [p50, p90, p99, most] = [50.0, 90.0, 99.0, 100.0].map(|at| number(curve.at(at)));
        let name = &curve.name;
        let _ = writeln!(out, "  {name}: p50 {p50}  p90 {p90}  p99 {p99}  max {most} ms");
    }
    for note in &section.notes {
        let _ = writeln!(out, "  - {note}");
    }
    for failure in &section.failures {
        let _ = writeln!(out, "  FAILED {failure}");
    }
}
