//! Publishing as a sink.

use super::client::ChannelClient;
use super::error::Error;
use core::pin::Pin;
use core::task::{Context, Poll};
use futures_sink::Sink;
use phalanx_core::channel::ChannelName;
use std::sync::Arc;
use tokio::time;

type Publishing = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// A sink that sends one broadcast at a time and waits while all links are full.
pub struct Publisher {
    client: ChannelClient,
    channel: ChannelName,
    publishing: Option<Publishing>,
}

impl core::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Publisher")
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

impl Publisher {
    pub(super) const fn new(client: ChannelClient, channel: ChannelName) -> Self {
        Self {
            client,
            channel,
            publishing: None,
        }
    }
}

async fn publish_once_it_fits(
    client: ChannelClient,
    channel: ChannelName,
    payload: Arc<[u8]>,
) -> Result<(), Error> {
    loop {
        let published = client.publish(channel.clone(), Arc::clone(&payload)).await;
        let pause = match &published {
            Err(Error::Refused(refusal)) => refusal.retry_after(),
            Err(Error::Stopped(_)) | Ok(_) => None,
        };
        match pause {
            Some(pause) => time::sleep(pause).await,
            None => return published.map(drop),
        }
    }
}

impl Sink<Vec<u8>> for Publisher {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_flush(context)
    }

    fn start_send(mut self: Pin<&mut Self>, payload: Vec<u8>) -> Result<(), Error> {
        let (client, channel) = (self.client.clone(), self.channel.clone());
        let publishing = publish_once_it_fits(client, channel, Arc::from(payload));
        self.publishing = Some(Box::pin(publishing));
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Some(publishing) = &mut self.publishing else {
            return Poll::Ready(Ok(()));
        };
        let done = publishing.as_mut().poll(context);
        if done.is_ready() {
            self.publishing = None;
        }
        done
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_flush(context)
    }
}
