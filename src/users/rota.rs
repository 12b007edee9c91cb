//! Officials' turns: whose day it is.

use jiff::civil::Date;
use serde_json::json;

use super::{By, UserError, Users, trail};
use crate::{
    domain::{
        audit::Action,
        role::Role,
        rota::{DayPlan, RotaError, day},
        seat::DeskId,
    },
    store::TurnRow,
};

impl Users {
    /// Puts a day's turns in the place of those that were there.
    ///
    /// * `desks` — those there are; nothing where nobody here knows.
    ///
    /// # Errors
    /// [`UserError::Rota`] names the field; nothing was changed then.
    pub async fn set_rota(
        &self,
        by: &By,
        date: Date,
        plan: DayPlan,
        desks: Option<&[DeskId]>,
    ) -> Result<Vec<TurnRow>, UserError> {
        plan.check()?;
        let (begin, end) = day(date).ok_or_else(|| RotaError::new("date", "is no day of the calendar"))?;
        let mut turns = Vec::with_capacity(plan.turns.len());
        for (index, turn) in plan.turns.into_iter().enumerate() {
            let wrong = |field: &str, problem: String| RotaError::new(format!("turns[{index}].{field}"), problem);
            let person = self.store.user_named(&turn.person).await?;
            let person = person.ok_or_else(|| wrong("person", format!("there is no user `{}`", turn.person)))?;
            if !person.roles.contains(&Role::DutyOfficial) {
                return Err(wrong("person", format!("`{}` is no duty official", turn.person)).into());
            }
            let desk = turn.desk.as_deref().map(DeskId::from);
            if let (Some(desk), Some(desks)) = (&desk, desks)
                && !desks.contains(desk)
            {
                return Err(wrong("desk", format!("there is no desk `{desk}`")).into());
            }
            let span = turn.span(date);
            let (starts, ends) = span.ok_or_else(|| wrong("from", "is no time such as 09:00".into()))?;
            let (id, rank, topics) = (self.store.clock().uuid(), turn.rank, turn.topics);
            turns.push(TurnRow {
                id,
                user: person.id,
                name: person.name,
                unit: person.unit,
                rank,
                starts,
                ends,
                desk,
                topics,
            });
        }
        let mut tx = self.store.begin().await?;
        tx.set_turns(begin, end, &turns).await?;
        trail::note(&mut tx, by.clone(), Action::RotaSet, format!("rota:{date}"), json!({ "turns": turns.len() }));
        tx.commit().await?;
        Ok(turns)
    }
}
