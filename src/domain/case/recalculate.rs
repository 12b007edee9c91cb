//! New dates for orders when the calendar was changed.

use std::collections::BTreeSet;

use super::{Case, Event, Order, Redated};
use crate::domain::{
    calendar::{Origin, WorkCalendar, local},
    city::City,
    clocks::{Deadlines, Terms},
};

impl Case {
    /// What the calendar changes in the orders of a case that is still open; nothing where all dates stay.
    ///
    /// New dates follow from the order and the calendar alone, not from the dates before: calculating twice changes nothing,
    /// and of two calendars one after the other only the second counts.
    pub fn recalculate(&self, calendar: &WorkCalendar, city: &City) -> Option<Event> {
        if !self.state().has_open_orders() {
            return None;
        }
        let (mut orders, mut years) = (Vec::new(), BTreeSet::new());
        for order in &self.orders {
            let Some(due) = self.dates_of(order, calendar, city).filter(|due| *due != order.due) else { continue };
            years.extend(local(order.dispatched).year()..=local(due.red).year());
            orders.push(Redated { unit: order.unit.clone(), was: order.due, due });
        }
        let calendar: Vec<_> = years.into_iter().map(|year| calendar.origin(year)).collect();
        (!orders.is_empty()).then(|| Event::Recalculated { why: why(&calendar), orders, calendar })
    }

    fn dates_of(&self, order: &Order, calendar: &WorkCalendar, city: &City) -> Option<Deadlines> {
        let terms = order.terms.or_else(|| self.terms_now(city))?;
        Some(terms.recalculated(calendar, order.dispatched, &order.due))
    }

    /// For orders that did not keep their terms: the case's class as it stands now, if it is still there.
    fn terms_now(&self, city: &City) -> Option<Terms> {
        city.time_classes.get(self.time_class.as_ref()?).and_then(|class| Terms::of(class).ok())
    }
}

fn why(origins: &[Origin]) -> String {
    let one = |origin: &Origin| {
        let source = origin.source.as_deref().unwrap_or("仅按周末");
        let provisional = if origin.provisional { "，暂定" } else { "" };
        format!("{}年（{source}{provisional}）", origin.year)
    };
    format!("工作日历更新，期限重算：{}", origins.iter().map(one).collect::<Vec<_>>().join("、"))
}
