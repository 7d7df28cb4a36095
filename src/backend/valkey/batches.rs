//! What goes together over the connections of a generation.

use futures_util::future::join4;

use super::Context;
use super::claims::Claims;
use super::fills::Fills;
use super::link::Generation;
use super::peeks::Peeks;
use super::steps::Publications;
use super::together::Together;
use crate::model::ShardCount;

/// Each kind by itself.
pub(super) struct Batches {
    pub(super) publications: Together<Publications>,
    pub(super) peeks: Together<Peeks>,
    pub(super) claims: Together<Claims>,
    pub(super) fills: Together<Fills>,
}

impl Batches {
    pub(super) fn new(shards: ShardCount) -> Self {
        Self {
            publications: Together::new(shards),
            peeks: Together::new(shards),
            claims: Together::new(shards),
            fills: Together::new(shards),
        }
    }

    /// Carries out what waits, as long as the generation lasts.
    pub(super) async fn serve(&self, context: &Context, generation: &Generation) {
        join4(
            self.publications.serve(context, generation),
            self.peeks.serve(context, generation),
            self.claims.serve(context, generation),
            self.fills.serve(context, generation),
        )
        .await;
    }
}
