//! Steps that run at the same time: all of them, the first of them, many of them with a bound. Each has a name of its
//! own; what they come to is told in the same order on every run.

use std::future::{Future, IntoFuture};
use std::rc::Rc;

use futures::future::{join_all, select_all};
use futures::stream::{self, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Saga, Step};
use crate::failure::{Failure, Fallible};

impl Saga {
    /// Runs all of them at the same time and answers when all have come to an end: their answers in their order, or the
    /// first error in that order.
    pub async fn join<S, T, E>(&self, steps: impl IntoIterator<Item = S>) -> Result<Vec<T>, E>
    where
        S: IntoFuture<Output = Result<T, E>>,
    {
        join_all(steps.into_iter().map(IntoFuture::into_future)).await.into_iter().collect()
    }

    /// Runs steps at the same time and answers the first that comes to an end, by its place. The others are given up,
    /// and those of them with a compensation are taken back before this answers. Without steps there is a failure.
    pub async fn race<'s, T, E, F, Fut>(
        &'s self,
        steps: impl IntoIterator<Item = Step<'s, T, E, F>>,
    ) -> Result<(usize, T), E>
    where
        T: Serialize + DeserializeOwned + 's,
        E: Serialize + DeserializeOwned + Fallible + 's,
        F: Fn(String) -> Fut + 's,
        Fut: Future<Output = Result<T, E>> + 's,
    {
        let (mut settled, mut running) = (Vec::new(), Vec::new());
        for step in steps {
            settled.push(Rc::clone(&step.settled));
            running.push(step.into_future());
        }
        if running.is_empty() {
            return Err(E::from_failure(Failure::not_attempted("a race needs a step")));
        }
        let (first, winner, losers) = select_all(running).await;
        drop(losers);
        settled.remove(winner);
        while let Some(undo) = self.take_undo(|undo| settled.iter().any(|settled| undo.is_of(settled))) {
            undo.run(self).await.map_err(E::from_failure)?;
        }
        first.map(|answer| (winner, answer))
    }

    /// Does `work` for every item, for at most `at_most` of them at a time, and answers their answers in the order of
    /// the items. After an error no further item is begun. `work` gets the item's place, to name its steps by.
    pub async fn for_each<I, T, E, Fut>(
        &self,
        items: impl IntoIterator<Item = I>,
        at_most: usize,
        work: impl Fn(usize, I) -> Fut,
    ) -> Result<Vec<T>, E>
    where
        Fut: Future<Output = Result<T, E>>,
    {
        let numbered = items.into_iter().enumerate().map(|(place, item)| {
            let working = work(place, item);
            async move { (place, working.await) }
        });
        let mut running = stream::iter(numbered).buffer_unordered(at_most.max(1)).fuse();
        let (mut answers, mut failed) = (Vec::new(), None);
        while failed.is_none()
            && let Some((place, answer)) = running.next().await
        {
            match answer {
                Ok(answer) => answers.push((place, answer)),
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        answers.sort_by_key(|(place, _)| *place);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }

    /// Takes out the compensation registered last that `wanted` wants.
    fn take_undo(&self, wanted: impl Fn(&super::step::Undo) -> bool) -> Option<super::step::Undo> {
        let mut undos = self.inner.undos.borrow_mut();
        let last = undos.iter().rposition(wanted)?;
        Some(undos.remove(last))
    }
}
