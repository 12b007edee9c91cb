//! What the city says about itself: units, categories, places.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    App,
    extract::{Asked, SeeCity, Who},
    problem::{Kind, Problem},
    view::{Page, limit},
};
use crate::domain::city::{Category, City, Unit};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(units)).routes(routes!(categories)).routes(routes!(places))
}

/// A page of a list, and words to look for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Search {
    /// `next` of the page before.
    after: Option<String>,
    /// 1 to 200, usually 50.
    limit: Option<u32>,
    /// Part of the name.
    q: Option<String>,
}

impl Search {
    fn finds(&self, name: &str) -> bool {
        self.q.as_deref().is_none_or(|words| name.contains(words))
    }

    /// The page of `all`, which stand in a fixed order.
    fn page<T>(&self, all: Vec<T>, id: impl Fn(&T) -> &str) -> Result<Page<T>, Problem> {
        let limit = limit(self.limit)?;
        let unknown = || Kind::BadRequest.because("after: is not the `next` of a page").with("field", "after");
        let start = match &self.after {
            None => 0,
            Some(after) => all.iter().position(|item| id(item) == after).ok_or_else(unknown)? + 1,
        };
        let rows = all.into_iter().skip(start).take(limit as usize + 1).collect();
        Ok(Page::cut(rows, limit, |item| id(item).to_owned(), |item| item))
    }
}

/// Units that handle cases. One with `has_county_level` exists in every area too: `371526-ZJ`.
#[utoipa::path(get, path = "/api/v1/units", tag = "city", params(Search),
    responses((status = 200, description = "A page of units", body = Page<Unit>), (status = "default", response = super::docs::AnyProblem)))]
async fn units(
    State(app): State<App>,
    _: Who<SeeCity>,
    Asked(query): Asked<Search>,
) -> Result<Json<Page<Unit>>, Problem> {
    let found = app.city.units.iter().filter(|unit| query.finds(&unit.name)).cloned().collect();
    // A search leaves the last item of a page in place, so `after` is always among what it finds.
    Ok(Json(query.page(found, |unit| &unit.code)?))
}

/// The tree of categories: its leaves are the dispatch catalogue.
#[utoipa::path(get, path = "/api/v1/categories", tag = "city", params(Search),
    responses((status = 200, description = "A page of first-level categories", body = Page<Category>), (status = "default", response = super::docs::AnyProblem)))]
async fn categories(
    State(app): State<App>,
    _: Who<SeeCity>,
    Asked(query): Asked<Search>,
) -> Result<Json<Page<Category>>, Problem> {
    let fits = |category: &&Category| {
        query.finds(&category.name) || category.children.iter().any(|leaf| query.finds(&leaf.name))
    };
    let found = app.city.categories.iter().filter(fits).cloned().collect();
    Ok(Json(query.page(found, |category| &category.code)?))
}

/// A place that a case can have.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Place {
    /// Area `371526`, town `371526/鱼邱湖街道`, estate `E009`.
    id: String,
    name: String,
    kind: PlaceKind,
    /// Code of the area it lies in.
    area: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum PlaceKind {
    Area,
    Town,
    Estate,
}

/// Areas, their towns and estates.
#[utoipa::path(get, path = "/api/v1/places", tag = "city", params(Search),
    responses((status = 200, description = "A page of places", body = Page<Place>), (status = "default", response = super::docs::AnyProblem)))]
async fn places(
    State(app): State<App>,
    _: Who<SeeCity>,
    Asked(query): Asked<Search>,
) -> Result<Json<Page<Place>>, Problem> {
    let found = all_places(&app.city).filter(|place| query.finds(&place.name)).collect();
    Ok(Json(query.page(found, |place| &place.id)?))
}

fn all_places(city: &City) -> impl Iterator<Item = Place> {
    let place = |id: String, name: &str, kind, area: &str| Place { id, name: name.into(), kind, area: area.into() };
    let areas = city.areas.iter().flat_map(move |area| {
        let whole = place(area.code.clone(), &area.name, PlaceKind::Area, &area.code);
        let towns = area
            .towns
            .iter()
            .map(move |town| place(format!("{}/{town}", area.code), town, PlaceKind::Town, &area.code));
        std::iter::once(whole).chain(towns)
    });
    areas.chain(
        city.estates
            .iter()
            .map(move |estate| place(estate.code.clone(), &estate.name, PlaceKind::Estate, &estate.area)),
    )
}
