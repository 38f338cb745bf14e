//! The end of a node, as its tasks wait for it.

use std::future::Future;
use tokio::sync::watch;

/// Waits until a node ends.
pub(super) fn closed(closing: &watch::Sender<bool>) -> impl Future<Output = ()> + Send + use<> {
    let mut closing = closing.subscribe();
    async move {
        // An error means that the node is gone, which is an end too.
        let _gone = closing.wait_for(|closing| *closing).await.is_err();
    }
}

/// Runs a task until a signal comes.
pub(crate) async fn until(task: impl Future<Output = ()>, signal: impl Future<Output = ()>) {
    let (mut task, mut signal) = (std::pin::pin!(task), std::pin::pin!(signal));
    std::future::poll_fn(|context| {
        let signalled = signal.as_mut().poll(context);
        if signalled.is_ready() {
            signalled
        } else {
            task.as_mut().poll(context)
        }
    })
    .await;
}
