//! The operator's live board. What the page shows at first and what its script loads later, card by
//! card, is made by the same template.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use super::language::Language;
use super::shelves::{self, ShelfView};
use super::texts::Texts;
use super::view::AlarmView;
use super::{Frame, page};
use crate::auth::Role;
use crate::http::Service;
use crate::http::access::Principal;
use crate::http::error::ApiError;
use crate::http::query::NoQuery;
use crate::http::v1::alarms::find;
use crate::store::{AccountRecord, AlarmFilter, AlarmRecord, AlarmState};

/// Unacknowledged alarms that the board shows; more stand in the list, and the board says so.
const RAISED_MAX: u32 = 200;
/// Alarms in somebody's hands that it shows.
const TAKEN_MAX: u32 = 100;
/// Who may handle alarms.
pub(super) const HANDLERS: [Role; 2] = [Role::Operator, Role::Manager];

#[derive(Template)]
#[template(path = "board.html", config = "src/http/ui/askama.toml")]
struct BoardPage {
    frame: Frame,
    /// The page is of this moment of the log; the stream goes on from there.
    seq: i64,
    raised: Vec<AlarmView>,
    /// There are more unacknowledged ones than are shown.
    more: bool,
    taken: Vec<AlarmView>,
    /// There are more in somebody's hands than are shown.
    more_taken: bool,
    may_handle: bool,
    shelves: Vec<ShelfView>,
    handlers: Vec<Handler>,
}

/// Somebody to whom an alarm can be assigned.
pub(super) struct Handler {
    pub(super) account: String,
    /// What pages call them.
    pub(super) name: String,
}

#[derive(Template)]
#[template(path = "card_part.html", config = "src/http/ui/askama.toml")]
struct CardPart {
    t: &'static Texts,
    alarm: AlarmView,
    may_handle: bool,
}

/// The board.
pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    who: Principal,
    language: Language,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let (api, t) = (&service.api, language.texts());
    // Read first: an alarm that comes in between is told twice rather than never.
    let seq = *api.store.newest_seq().borrow();
    let of = |state| AlarmFilter {
        state: Some(state),
        ..AlarmFilter::default()
    };
    let raised = AlarmFilter {
        shelved: Some(false),
        ..of(AlarmState::Raised)
    };
    let raised = api.store.alarms(&raised, None, RAISED_MAX).await?;
    let taken = of(AlarmState::Acknowledged);
    let taken = api.store.alarms(&taken, None, TAKEN_MAX).await?;
    let views = |alarms: Vec<AlarmRecord>| {
        // Real events before camera faults, and otherwise as they come: newest first.
        let (faults, events): (Vec<_>, Vec<_>) =
            alarms.into_iter().partition(|alarm| alarm.kind.is_fault());
        let all = events.iter().chain(&faults);
        all.map(|alarm| AlarmView::new(api, t, alarm)).collect()
    };
    let frame = Frame::of(language, "/board", &who);
    page(&BoardPage {
        may_handle: frame.is(&HANDLERS),
        frame,
        seq,
        more: raised.next.is_some(),
        raised: views(raised.items),
        more_taken: taken.next.is_some(),
        taken: views(taken.items),
        shelves: shelves::open(&service, t).await?,
        handlers: handlers(&service).await?,
    })
}

/// One alarm's card.
pub(crate) async fn card(
    State(service): State<Arc<Service>>,
    who: Principal,
    language: Language,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let detail = find(&service, &id).await?;
    let t = language.texts();
    page(&CardPart {
        t,
        alarm: AlarmView::new(&service.api, t, &detail.alarm),
        may_handle: who.roles.any_of(&HANDLERS),
    })
}

/// Returns the accounts to which an alarm can be assigned.
pub(super) async fn handlers(service: &Service) -> Result<Vec<Handler>, ApiError> {
    let accounts = service.api.store.accounts().await?;
    let may = accounts
        .into_iter()
        .filter(|account| account.disabled_at_ms.is_none() && account.roles.any_of(&HANDLERS));
    let handler = |account: AccountRecord| {
        let account = account.name.to_string();
        Handler {
            name: service.api.store.name_of(&account),
            account,
        }
    };
    Ok(may.map(handler).collect())
}
