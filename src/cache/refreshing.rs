//! Refreshes as the read path sees them: the wish for one, and the load that makes it true.

use std::sync::Arc;

use super::ahead;
use super::answer::Demand;
use super::copy::Copy;
use super::flight::Teller;
use super::freshness::{Use, decide};
use super::load::{Load, Purpose};
use super::outcome::refresh_outcome;
use super::reader::{Read, Reader};
use super::space::Space;
use super::wish::{Wish, Wished};
use crate::backend::LoadId;
use crate::clock::Boot;
use crate::telemetry::labels::RefreshOutcome;

impl Reader {
    /// Wishes that a copy be loaded anew while it is being answered.
    pub(super) fn refresh(&self, read: &Read<'_>, ahead: Option<LoadId>) {
        let Some(refreshers) = &read.space.settings.refreshers else { return };
        if read.demand.only_if_cached || read.space.setbacks.resting(read.key, self.now()) {
            return;
        }
        let wish = Wish { key: read.key.clone(), heat: read.space.heat.of(read.key), ahead };
        if refreshers.wish(wish) == Wished::Full {
            read.space.metrics.refreshes.of(RefreshOutcome::Dropped).inc();
        }
    }

    /// The same for a copy that is still fresh, where chance and the time that its load took say so.
    pub(super) fn refresh_ahead(&self, read: &Read<'_>, copy: &Copy, now: Boot) {
        let beta = read.space.settings.refresh_ahead;
        if beta <= 0.0 || copy.dirty {
            return;
        }
        let (age, fresh) = (copy.age(now), copy.entry.lifetime.fresh);
        if ahead::due(age, fresh, copy.load_time.into(), beta, rand::random()) {
            self.refresh(read, Some(copy.load.id()));
        }
    }

    /// Makes a wish true, unless it has come true meanwhile.
    pub(super) async fn refreshed(
        self: &Arc<Self>,
        space: &Arc<Space>,
        wish: &Wish,
    ) -> Option<RefreshOutcome> {
        let held = space.l1.get(&wish.key);
        if held.as_deref().is_some_and(|held| !self.wanted(space, wish, held)) {
            return None;
        }
        // What the backend says of the copy that the wish names says nothing of another one.
        let named = |ahead: &LoadId| held.as_ref().is_none_or(|held| held.load.is(ahead));
        let ahead = wish.ahead.clone().filter(named);
        let load = Load { ahead, ..self.load(space, &wish.key, Purpose::Refresh, held) };
        let load = |teller: Arc<Teller>| async move { load.run(&teller).await };
        let seat = space.flights.board(&self.supervisor, wish.key.shared(), load);
        let mine = seat.mine;
        let outcome = seat.landed().await;
        mine.then(|| refresh_outcome(&outcome))
    }

    /// Whether the copy is still the one, or as stale as the one, that the wish was for.
    fn wanted(&self, space: &Space, wish: &Wish, held: &Copy) -> bool {
        let demand = Demand::default();
        let shard = self.coherence.shard_of(space.name(), &wish.key);
        let now = self.now();
        let used = self
            .judge(space, shard, held, now)
            .map(|judgement| decide(judgement, held.age(now), &held.entry.lifetime, &demand, false));
        used != Some(Use::Fresh) || wish.ahead.as_ref().is_some_and(|ahead| held.load.is(ahead))
    }
}
