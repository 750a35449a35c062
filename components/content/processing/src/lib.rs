//! The content-processing saga, orchestrated: upload, process, index, notify. Its key is the saga's id. The same four steps
//! run choreographed by their events, see `content-store`'s `runs`.

use education::content::types::{Error, Submission, Summary};
use education::content::{index, notices, results, uploads};
use education::exports::processing::{Guest, export};
use weft_guest::saga::{self, Saga};

const PROCESS: &str = "education:content/processing@1.0.0#process";

struct Processing;

impl Guest for Processing {
    async fn process(key: String, submission: Submission) -> Result<Summary, Error> {
        saga::run(PROCESS, key, submission, process).await
    }
}

async fn process(saga: Saga, submission: Submission) -> Result<Summary, Error> {
    // The same in every run of the saga.
    let id = saga.uuid();
    saga.step("upload", |key| uploads::upload(key, id.clone(), submission.clone()))
        .undo(|key, _| uploads::delete_upload(key))
        .await?;
    let summary = saga
        .step("process", |key| results::process(key, id.clone()))
        .undo(|key, _| results::discard_result(key))
        .await?;
    saga.step("index", |key| index::index(key, id.clone())).undo(|key, _| index::unindex(key)).await?;
    let (content, run) = (id.clone(), saga.key().to_owned());
    saga.step("notify", |key| notices::notify(key, id.clone(), run.clone()))
        .undo({
            let run = run.clone();
            move |key, _| notices::withdraw(key, content.clone(), run.clone())
        })
        .await?;
    Ok(summary)
}

export!(Processing with_types_in education::exports::processing::bindings);
weft_guest::resumable!(PROCESS => process);
