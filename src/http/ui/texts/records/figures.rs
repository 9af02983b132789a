//! What the acceptance table says, on its page and in its CSV file.

use super::super::fill;
use super::Texts;
use crate::report::{Acceptance, Figure, Gap, Item, Rate};
use crate::store::Span;

impl Texts {
    /// Returns what people call a rate.
    pub(crate) fn figure_of(&self, figure: &Figure) -> &'static str {
        match figure {
            Figure::Buildings => self.figure_buildings,
            Figure::Openings => self.figure_openings,
            Figure::Elevators => self.figure_elevators,
            Figure::Online => self.figure_online,
            Figure::Pictures => self.figure_pictures,
            Figure::Intact => self.figure_intact,
            Figure::Compliance => self.figure_compliance,
        }
    }

    /// Returns a number as people write it: whole, or with one decimal.
    pub(crate) fn amount(&self, amount: &f64) -> String {
        let text = format!("{amount:.1}");
        text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
    }

    /// Returns a number of a thing; empty where it has none yet.
    fn amount_of(&self, item: &Item, amount: &f64) -> String {
        match item.of > 0.0 || !item.gaps.contains(&Gap::NoHours) {
            true => self.amount(amount),
            false => String::new(),
        }
    }

    /// Returns a share in percent.
    pub(crate) fn percent(&self, share: &f64) -> String {
        // Never rounded up to what is wanted.
        format!("{} %", self.amount(&((share * 1000.0).floor() / 10.0)))
    }

    /// Returns what a thing lacks, in one line.
    pub(crate) fn gap_list(&self, gaps: &[Gap]) -> String {
        let each: Vec<String> = gaps.iter().map(|gap| self.gap(*gap)).collect();
        each.join("; ")
    }

    fn gap(&self, gap: Gap) -> String {
        let text = match gap {
            Gap::NoCamera => self.gap_no_camera,
            Gap::Offline => self.gap_offline,
            Gap::TooShort => self.gap_too_short,
            Gap::NoHours => self.gap_no_hours,
            Gap::NoScene => self.gap_no_scene,
            Gap::NoOpenings => self.gap_no_openings,
            Gap::Floors { from, to } => return fill(self.gap_floors, &[&from, &to]),
            Gap::OpeningsMissed => self.gap_openings,
            Gap::NotTested => self.gap_not_tested,
            Gap::NoCode => self.gap_no_code,
            Gap::NoName => self.gap_no_name,
            Gap::NoDivision => self.gap_no_division,
            Gap::NoPlace => self.gap_no_place,
        };
        text.to_owned()
    }

    /// Returns the table as rows: each rate, and below it each thing that was counted.
    pub(crate) fn rows(&self, table: &Acceptance) -> Vec<Vec<String>> {
        let head = [
            self.site,
            self.figure,
            self.thing,
            self.numerator,
            self.denominator,
            self.share,
            self.wanted,
            self.gaps,
        ];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(table.unwatched.iter().map(|span| self.unwatched_row(span)));
        for site in &table.sites {
            for rate in &site.rates {
                rows.push(self.rate_row(&site.name, rate));
                for item in &rate.items {
                    rows.push(vec![
                        site.name.clone(),
                        self.figure_of(&rate.figure).to_owned(),
                        item.name.clone(),
                        self.amount_of(item, &item.counts),
                        self.amount_of(item, &item.of),
                        String::new(),
                        String::new(),
                        self.gap_list(&item.gaps),
                    ]);
                }
            }
        }
        rows
    }

    /// Returns in one sentence how much of the period nobody watched; none where the service ran all
    /// the time, but for the minute that a start takes.
    pub(crate) fn unwatched(&self, table: &Acceptance) -> Option<String> {
        const SAID_FROM_HOURS: f64 = 1.0 / 60.0;
        let missed = table.hours - table.watched_hours;
        let hours = [table.hours, table.watched_hours, missed].map(|hours| self.amount(&hours));
        let text = fill(self.report_unwatched, &[&hours[0], &hours[1], &hours[2]]);
        (missed >= SAID_FROM_HOURS).then_some(text)
    }

    /// Returns a time that nobody watched, as a row of its own: how many hours lack in each rate.
    fn unwatched_row(&self, span: &Span) -> Vec<String> {
        let hours = (span.to_ms - span.from_ms) as f64 / 3_600_000.0;
        let mut row = vec![String::new(); 8];
        row[1] = self.report_unwatched_row.to_owned();
        row[2] = format!("{} – {}", moment(span.from_ms), moment(span.to_ms));
        row[4] = self.amount(&hours);
        row
    }

    fn rate_row(&self, site: &str, rate: &Rate) -> Vec<String> {
        let (numerator, denominator, why) = match rate.lacks_hours() {
            true => (String::new(), String::new(), self.no_hours),
            false => (
                self.amount(&rate.numerator),
                self.amount(&rate.denominator),
                "",
            ),
        };
        vec![
            site.to_owned(),
            self.figure_of(&rate.figure).to_owned(),
            String::new(),
            numerator,
            denominator,
            rate.share
                .map_or(String::new(), |share| self.percent(&share)),
            self.percent(&rate.wanted),
            why.to_owned(),
        ]
    }
}

/// Returns a moment as people write it, in this machine's zone.
fn moment(at_ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(at_ms);
    let zoned = at.map(|at| at.to_zoned_datetime(jiff::tz::TimeZone::system()));
    zoned.map_or_else(
        |_| String::new(),
        |at| at.strftime("%Y-%m-%d %H:%M").to_string(),
    )
}
