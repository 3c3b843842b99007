//! The arithmetic of the report, and what its files hold.

use hdrhistogram::Histogram;

use super::*;

fn row(samples: &[f64]) -> Row {
    Row::new("a < b", "tx/s", samples.to_vec())
}

#[test]
fn the_median_is_the_middle_of_any_order() {
    assert_eq!(row(&[3.0, 1.0, 2.0]).median(), 2.0);
    assert_eq!(row(&[4.0, 1.0, 2.0, 9.0]).median(), 3.0);
    assert_eq!((row(&[3.0, 1.0, 2.0]).min(), row(&[3.0, 1.0, 2.0]).max()), (1.0, 3.0));
    assert!(row(&[]).median().is_nan());
}

#[test]
fn ratios_are_those_of_pairs_not_of_medians() {
    let ratio = Row::ratio("ours to theirs", &[10.0, 40.0, 90.0], &[10.0, 10.0, 30.0]);
    assert_eq!(ratio.samples, [1.0, 4.0, 3.0]);
    assert_eq!((ratio.median(), ratio.min(), ratio.max()), (3.0, 1.0, 4.0));
}

#[test]
fn the_median_decides_and_nothing_measured_meets_nothing() {
    assert_eq!(row(&[1.0, 3.0, 3.0]).goal(Goal::AtLeast(3.0)).verdict(), Some(Verdict::Met));
    assert_eq!(row(&[2.9, 2.9, 9.0]).goal(Goal::AtLeast(3.0)).verdict(), Some(Verdict::NotMet));
    assert_eq!(row(&[15.0]).goal(Goal::AtMost(15.0)).verdict(), Some(Verdict::Met));
    assert_eq!(row(&[15.1]).goal(Goal::AtMost(15.0)).verdict(), Some(Verdict::NotMet));
    assert_eq!(row(&[]).goal(Goal::AtMost(15.0)).verdict(), Some(Verdict::NotMet));
    assert_eq!(row(&[1.0]).verdict(), None);
}

#[test]
fn figures_are_readable() {
    let shown: Vec<_> = [0.5, 12.345, 123.4, 1234.5, 1_234_567.0].map(number).into();
    assert_eq!(shown, ["0.50", "12.3", "123", "1,234", "1,234,567"]);
}

#[test]
fn a_curve_has_the_percentiles_of_its_histogram() {
    let mut histogram = Histogram::new(3).unwrap();
    (1..=1000).for_each(|ms| histogram.record(ms * 1000).unwrap());
    let curve = Curve::of_us("sealed", &histogram);
    assert_eq!(curve.count, 1000);
    assert!((curve.at(50.0) - 500.0).abs() < 1.0, "{}", curve.at(50.0));
    assert!((curve.at(99.0) - 990.0).abs() < 1.0, "{}", curve.at(99.0));
    assert!(curve.points.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1));
    assert!(Curve::of_us("none", &Histogram::new(3).unwrap()).at(50.0).is_nan());
}

fn whole() -> Report {
    let mut histogram = Histogram::new(3).unwrap();
    histogram.record(1500).unwrap();
    let mut section = Section { workload: "transfers".into(), ..Section::default() };
    section.row(row(&[1.0, 2.0]).goal(Goal::AtLeast(5.0)));
    section.row(row(&[]).goal(Goal::AtMost(5.0)));
    section.curves.push(Curve::of_us("causeway & \"sealed\"", &histogram));
    section.note("<b>");
    Report { facts: vec![("cores".into(), "2".into())], sections: vec![section] }
}

#[test]
fn the_html_needs_no_other_file_and_says_every_goal() {
    let html = whole().html();
    for outside in ["http:", "https:", "src=", "href=", "url(", "@import", "<script"] {
        assert!(!html.contains(outside), "{outside} in {html}");
    }
    assert!(html.contains("a &lt; b") && html.contains("&lt;b&gt;") && !html.contains("<b>"));
    assert!(html.contains("&gt;= 5.00") && html.contains("not met"));
    assert_eq!(html.matches("<svg").count(), 2);
    assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
    assert!(!html.contains("inf") && !html.contains("=\"NaN"), "{html}");
}

#[test]
fn table_and_json_say_the_same() {
    let mut report = whole();
    assert!(report.is_whole());
    assert!(report.table().contains("a < b"), "{}", report.table());
    let json = serde_json::to_value(&report).unwrap();
    let first = &json["sections"][0]["rows"][0];
    assert_eq!((&first["median"], &first["verdict"]), (&1.5.into(), &"not_met".into()));
    report.sections[0].failed("run 2", &eyre::eyre!("3 transactions are in no block"));
    assert!(!report.is_whole());
    assert!(report.table().contains("FAILED run 2: 3 transactions"));
}
