//! Choreographed sagas in the list: what is seen of them, in whatever order and however often; and retention.

use std::time::Duration;

use futures::executor::block_on;

use crate::testing::*;
use crate::*;

fn reaction(step: &str, attempt: u32, error: Option<&str>) -> Reaction {
    Reaction {
        step: step.to_owned(),
        compensates: false,
        attempt,
        started_at_ms: START_MS,
        ended_at_ms: START_MS + 5,
        error: error.map(str::to_owned),
        again: true,
    }
}

#[test]
fn a_choreography_is_a_saga_of_those_who_react() {
    let (sagas, disk, clock) = fresh();
    assert_eq!(sagas.choreography_reacted("c", reaction("process", 1, None)), Err(SagaError::NotFound));
    // The start is told twice, as events may be.
    for _ in 0..2 {
        sagas.choreography_began("content-processing", "c", START_MS).unwrap();
    }
    sagas.choreography_reacted("c", reaction("process", 1, Some("busy"))).unwrap();
    sagas.choreography_reacted("c", reaction("process", 2, None)).unwrap();
    sagas.choreography_reacted("c", reaction("index", 1, None)).unwrap();
    assert_eq!(sagas.show("c").unwrap().status, Status::Running);
    sagas.choreography_ended("c", false, START_MS + 9).unwrap();
    sagas.choreography_ended("c", true, START_MS + 99).unwrap();
    sagas.choreography_reacted("c", reaction("notify", 1, None)).unwrap();
    let seen = |sagas: &Sagas| {
        let view = sagas.show("c").unwrap();
        assert_eq!(
            (view.status, view.ended_at_ms, &*view.name),
            (Status::Completed, Some(START_MS + 9), "content-processing")
        );
        let steps = view.steps.iter().map(|step| (step.name.clone(), step.status, step.attempts));
        assert!(steps.eq([("process", 2), ("index", 1), ("notify", 1)].map(|(name, n)| (
            name.to_owned(),
            "completed",
            n
        ))));
    };
    seen(&sagas);
    sagas.shutdown().unwrap();
    drop(sagas);
    let (sagas, found) = open(&disk, clock);
    assert_eq!(found.unfinished, 0, "nobody resumes it");
    seen(&sagas);
    let by = By::default();
    assert!(matches!(block_on(sagas.cancel("c", &by)), Err(SagaError::Conflict(_))));
    assert!(matches!(block_on(sagas.retry("c", None, &by)), Err(SagaError::Conflict(_))));
    assert!(matches!(block_on(sagas.signal("c", "go", "", Vec::new())), Err(SagaError::Conflict(_))));
}

#[test]
fn who_handles_the_failure_ends_it() {
    let (sagas, ..) = fresh();
    sagas.choreography_began("content-processing", "c", START_MS).unwrap();
    sagas.choreography_reacted("c", reaction("upload", 1, None)).unwrap();
    let undo = Reaction { compensates: true, ..reaction("upload", 1, Some("busy")) };
    sagas.choreography_reacted("c", undo).unwrap();
    assert_eq!(sagas.show("c").unwrap().status, Status::Compensating);
    sagas.choreography_reacted("c", Reaction { compensates: true, ..reaction("upload", 2, None) }).unwrap();
    assert_eq!(sagas.show("c").unwrap().status, Status::Compensated);
}

#[test]
fn an_orchestrated_saga_of_the_same_id_is_not_touched() {
    let (sagas, ..) = fresh();
    block_on(async {
        let run = begin(&sagas, "k").await;
        sagas.choreography_began("content-processing", "k", START_MS).unwrap();
        assert_eq!(sagas.choreography_reacted("k", reaction("process", 1, None)), Err(SagaError::NotFound));
        assert_eq!(sagas.choreography_ended("k", false, START_MS), Err(SagaError::NotFound));
        run.finish(false, Vec::new()).await.unwrap();
    });
}

#[test]
fn what_has_ended_long_ago_is_forgotten_while_the_host_runs_and_its_files_go() {
    let (sagas, disk, clock) = fresh();
    let day = Duration::from_secs(24 * 60 * 60);
    let files = || weft_core::disk::Disk::list(&disk, std::path::Path::new(DIR)).unwrap().len();
    block_on(async {
        for number in 0..200 {
            let run = begin(&sagas, &format!("old-{number}")).await;
            execute(&run, "a", Phase::Do).await;
            settle(&run, "a", Phase::Do, AttemptResult::Success(vec![0; 1000])).await;
            run.finish(false, Vec::new()).await.unwrap();
        }
        let before = files();
        assert!(before > 5, "{before}");
        clock.advance(29 * day);
        begin(&sagas, "young").await.finish(false, Vec::new()).await.unwrap();
        assert!(sagas.show("old-0").is_ok());
        clock.advance(2 * day);
        begin(&sagas, "youngest").await.finish(false, Vec::new()).await.unwrap();
        assert_eq!(sagas.show("old-0"), Err(SagaError::NotFound));
        assert!(sagas.show("young").is_ok());
        assert!(files() < before, "{} of {before}", files());
        // Its key may be used again.
        begin(&sagas, "old-0").await.finish(false, Vec::new()).await.unwrap();
    });
}
