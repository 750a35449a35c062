//! Steps that run at the same time: all of them, the first of them, many of them with a bound. Each has a name of its
//! own; what they come to is told in the same order on every run.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::rc::Rc;

use futures::future::{MaybeDone, join_all, maybe_done, select_all};
use futures::stream::{FuturesUnordered, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::step::Undo;
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
            running.push(Box::pin(finish(begin(step.into_future()).await)));
        }
        if running.is_empty() {
            return Err(E::from_failure(Failure::not_attempted("a race needs a step")));
        }
        let (first, winner, losers) = select_all(running).await;
        drop(losers);
        settled.remove(winner);
        while let Some(undo) = self.last_undo(|undo| settled.iter().any(|settled| undo.is_of(settled))) {
            self.undo(&undo).await.map_err(E::from_failure)?;
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
        E: Fallible,
        Fut: Future<Output = Result<T, E>>,
    {
        let mut items = items.into_iter().enumerate();
        let (mut running, mut answers) = (FuturesUnordered::new(), Vec::new());
        loop {
            while running.len() < at_most.max(1)
                && let Some((place, item)) = items.next()
            {
                let begun = begin(work(place, item)).await;
                running.push(async move { (place, finish(begun).await) });
            }
            let Some((place, answer)) = running.next().await else { break };
            answers.push((place, answer?));
        }
        answers.sort_by_key(|(place, _)| *place);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }

    /// The compensation registered last that `wanted` wants.
    fn last_undo(&self, wanted: impl Fn(&Undo) -> bool) -> Option<Rc<Undo>> {
        self.inner.undos.borrow().iter().rev().find(|undo| wanted(undo)).cloned()
    }
}

type Begun<F> = Pin<Box<MaybeDone<F>>>;

/// Lets a branch go as far as it gets at once. What begins together has all begun before one of them can end the others:
/// on the first run, where a branch may come to its end at once, as on every other, where it waits for its turn.
async fn begin<F: Future>(branch: F) -> Begun<F> {
    let mut branch = Box::pin(maybe_done(branch));
    // Whether it has ended already is seen by who waits for it.
    let _ = futures::poll!(branch.as_mut());
    branch
}

async fn finish<T, E: Fallible, F: Future<Output = Result<T, E>>>(mut begun: Begun<F>) -> Result<T, E> {
    begun.as_mut().await;
    let taken = begun.as_mut().take_output();
    taken.unwrap_or_else(|| Err(E::from_failure(Failure::unknown("a branch has ended without an answer"))))
}

#[cfg(test)]
mod tests {
    //! Over a journal that answers at once, where a branch may end before the next has begun.

    use std::future::ready;

    use futures::executor::block_on;

    use super::super::fake_journal::with;
    use super::super::{RetryPolicy, Saga, run};
    use crate::Failure;

    fn log_of(body: impl AsyncFnOnce(Saga, ()) -> Result<u32, Failure>) -> (Result<u32, Failure>, Vec<String>) {
        let answer = block_on(run("test", "k".into(), (), body));
        (answer, with(|fake| std::mem::take(&mut fake.log)))
    }

    #[test]
    fn all_of_a_race_have_begun_before_one_has_won_and_the_losers_are_taken_back() {
        let (answer, log) = log_of(async |saga, ()| {
            let done = |_, _| ready(Ok::<_, Failure>(()));
            let steps = ["a", "b", "c"].map(|name| saga.step(name, |_| ready(Ok::<_, Failure>(1))).undo(done));
            let (place, answer) = saga.race(steps).await?;
            assert_eq!(place, 0);
            Ok(answer)
        });
        assert_eq!(answer, Ok(1));
        assert_eq!(log, ["do a", "do b", "do c", "undo c", "undo b", "finish ok"]);
    }

    #[test]
    fn a_race_without_steps_fails() {
        let (answer, _) = log_of(async |saga, ()| {
            let none = std::iter::empty().map(|()| saga.step("a", |_| ready(Ok::<_, Failure>(1))));
            saga.race(none).await.map(|(_, answer)| answer)
        });
        assert!(answer.is_err());
    }

    #[test]
    fn after_an_error_no_further_item_is_begun_and_those_beside_it_have_begun() {
        let (answer, log) = log_of(async |saga, ()| {
            let done = saga.for_each(0..4, 2, async |place, item| {
                let answer = if item == 0 { Err(Failure::key_reused()) } else { Ok(item) };
                saga.step(&format!("s{place}"), |_| ready(answer.clone())).max_attempts(1).await
            });
            done.await.map(|answers| answers.iter().sum())
        });
        assert!(answer.is_err_and(|failure| failure.is_key_reused()));
        assert_eq!(log, ["do s0", "do s1", "finish error"]);
    }

    #[test]
    fn answers_come_in_the_order_of_the_items() {
        let (answer, log) = log_of(async |saga, ()| {
            let done = saga.for_each([5, 6, 7], 2, async |place, item| {
                saga.step(&format!("s{place}"), |_| ready(Ok::<_, Failure>(item))).await
            });
            assert_eq!(done.await?, [5, 6, 7]);
            Ok(3)
        });
        assert_eq!((answer, log.len()), (Ok(3), 4));
    }

    #[test]
    fn the_retry_of_a_compensation_may_be_set_before_it() {
        let once = RetryPolicy { max_attempts: 1, base_ms: 0, factor_percent: 100, cap_ms: 0 };
        let (answer, log) = log_of(async |saga, ()| {
            let undo = |_, _| ready(Err::<(), _>(Failure::unknown("down")));
            saga.step("a", |_| ready(Ok::<_, Failure>(1))).undo_retry(once).undo(undo).await?;
            Err(Failure::unknown("and back"))
        });
        assert!(answer.is_err());
        assert_eq!(log, ["do a", "undo a", "finish error"]);
    }
}
