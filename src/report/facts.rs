//! The facts of a run, filled into the page that it exports: an artifact has none, so that its bytes
//! depend on its inputs alone.

use minijinja::context;
use minijinja::value::{Serde, Value as Drawn};
use serde_json::Value;

use super::cost::{self, CostData};
use super::curves::thinned;
use super::lines::{About, LineChart, Series, Stroke};
use super::material::ReportError;
use super::page::environment;
use super::samples::inert;
use super::words::Words;

/// The place of the run's facts (times, machine) in a page.
pub const RUN_FACTS: &str = r#"<script type="application/json" id="run-facts">null</script>"#;

/// The place of the charts of what a run took. What a run fills in stands between such comments, so
/// that it can be taken out again; nothing else on a page is a comment.
pub(super) const RUN_CHARTS: [&str; 2] = ["<!--run:charts-->", "<!--/run:charts-->"];

/// The place of the chart of training speeds.
pub(super) const RUN_SPEED: [&str; 2] = ["<!--run:speed-->", "<!--/run:speed-->"];

/// What stands before the data that those charts are drawn from.
pub(super) const COST_DATA: &str = r#"<script type="application/json" id="cost-data">"#;

/// Lines in the chart of speeds: one for each colour.
const MOST_LINES: usize = 8;

/// The page with the facts of a run: `instances` with `name`, `state`, `seconds`, `peak_bytes` and
/// `speeds`, `environment`, `command`, .. A page that has no place for them (it was made by another
/// version) stays as it is.
///
/// # Errors
/// When a chart's template and its values do not fit: a fault of the program.
pub fn with_facts(page: &str, facts: &Value) -> Result<String, ReportError> {
    let Some(data) = cost_data(page) else {
        return Ok(page.replacen(RUN_FACTS, &place(facts), 1));
    };
    let words = Words::of(data.language());
    let instances = cost::instances(facts);
    let charts = data.of_run(&instances, &words);
    let speed = speeds(&instances, &data, &words);
    let environment = environment()?;
    let template = environment.get_template("run.html")?;
    let render = |charts: Option<&Vec<cost::CostChart>>, speed: Option<&LineChart>| {
        template.render(context! {
            t => words.all(),
            metric => data.metric(),
            charts => charts.map(|charts| Drawn::from(Serde(charts))),
            speed => speed.map(|speed| Drawn::from(Serde(speed))),
        })
    };
    let fill = |page: &str, [open, close]: [&str; 2], content: &str| {
        page.replacen(
            &format!("{open}{close}"),
            &format!("{open}{}{close}", content.trim()),
            1,
        )
    };
    let page = fill(page, RUN_CHARTS, &render(Some(&charts), None)?);
    let page = fill(&page, RUN_SPEED, &render(None, speed.as_ref())?);
    Ok(page.replacen(RUN_FACTS, &place(facts), 1))
}

fn place(facts: &Value) -> String {
    RUN_FACTS.replace("null", &inert(&facts.to_string()))
}

fn cost_data(page: &str) -> Option<CostData> {
    let (_, rest) = page.split_once(COST_DATA)?;
    let (json, _) = rest.split_once("</script>")?;
    serde_json::from_str(json).ok()
}

/// Tokens a second over the updates of every training that this run did.
fn speeds(instances: &[cost::Instance], data: &CostData, words: &Words) -> Option<LineChart> {
    let trained = instances
        .iter()
        .filter(|instance| data.is_trained(&instance.name) && instance.speeds.len() > 1);
    let series = trained.take(MOST_LINES).enumerate().map(|(index, instance)| Series {
        label: instance.name.clone(),
        colour: format!("s{}", index + 1),
        stroke: Stroke::Thin,
        points: thinned(&instance.speeds, 200)
            .iter()
            .map(|(update, speed)| (*update as f64, *speed))
            .collect(),
        intervals: Vec::new(),
    });
    let about = About {
        title: words.get("speed_title").to_owned(),
        x_label: words.get("update").to_owned(),
        y_label: words.get("speed_title_unit").to_owned(),
        log_x: false,
        log_y: false,
        from_zero: true,
    };
    LineChart::draw(about, series.collect(), words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn facts_cannot_end_the_element_that_they_stand_in() {
        let page = format!("<p>{RUN_FACTS}</p>");
        let filled = with_facts(&page, &json!({"command": ["</script><script>alert(1)</script>"]})).unwrap();
        assert_eq!(filled.matches("</script>").count(), 1);
        assert!(filled.contains("\\u003c/script>"));
    }
}
