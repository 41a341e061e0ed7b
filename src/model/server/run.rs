//! Many samples: so many requests under way at once, answers taken as they come.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::client::{Asker, Client};
use super::{Said, ServerError};
use crate::model::predictor::Item;

/// So many failures of the server in a row, with no answer between them, end the work.
const MOST_IN_A_ROW: usize = 20;

/// A sample's name and what came of it.
pub type Answered<K> = (K, Result<Said, ServerError>);

impl Client {
    /// Asks about all items, at most the endpoint's concurrency of them at once. `take` gets the answers as they come, those that
    /// are there together, and ends the work by returning `false`. Fails as soon as no further sample can succeed.
    pub fn predict_all<K: Send + 'static>(
        &self,
        items: impl IntoIterator<Item = (K, Item)>,
        mut take: impl FnMut(Vec<Answered<K>>) -> bool,
    ) -> Result<(), ServerError> {
        let mut items = items.into_iter();
        let most = self.asker.endpoint.concurrency.max(1);
        self.runtime.block_on(async {
            let mut tasks = JoinSet::new();
            let mut in_a_row = 0;
            loop {
                while tasks.len() < most
                    && let Some((key, item)) = items.next()
                {
                    let asker = Arc::clone(&self.asker);
                    tasks.spawn(async move { (key, answer(asker, item).await) });
                }
                let Some(first) = tasks.join_next().await else { return Ok(()) };
                let mut ready = Vec::new();
                let mut next = Some(first);
                while let Some(done) = next {
                    ready.push(done.map_err(|error| ServerError::Local(error.to_string()))?);
                    next = tasks.try_join_next();
                }
                let stop = ready.iter().position(|(_, result)| result.as_ref().is_err_and(ServerError::stops));
                let mut stopped = stop.and_then(|place| ready.swap_remove(place).1.err());
                for (_, result) in &ready {
                    in_a_row = if result.as_ref().is_err_and(ServerError::is_of_server) { in_a_row + 1 } else { 0 };
                    if let Err(last) = result
                        && in_a_row >= MOST_IN_A_ROW
                        && stopped.is_none()
                    {
                        stopped = Some(ServerError::GaveUp { count: in_a_row, last: last.to_string() });
                    }
                }
                // What others found out meanwhile is kept; those that the same fault has hit are asked about another time.
                ready.retain(|(_, result)| !result.as_ref().is_err_and(|error| stopped.is_some() && error.is_of_server()));
                let going = take(ready);
                if let Some(error) = stopped {
                    return Err(error);
                }
                if !going {
                    return Ok(());
                }
            }
        })
    }
}

async fn answer(asker: Arc<Asker>, item: Item) -> Result<Said, ServerError> {
    let reader = Arc::clone(&asker);
    let question = tokio::task::spawn_blocking(move || reader.question(&item)).await;
    let question = question.map_err(|error| ServerError::Local(error.to_string()))??;
    asker.ask(question).await
}
