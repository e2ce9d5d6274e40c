//! A task for each connection that a listener accepts, so many at a time.
//!
//! The tasks belong to whoever accepts: when that is dropped, so are they, and their connections are
//! reset.

use super::net::TcpListener;
use super::net::TcpStream;
use crate::platform::Pollux;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use executor::{JoinHandle, Priority};
use futures_util::stream::{FuturesUnordered, StreamExt};

/// Accepts for ever. While `most` connections are served, others wait to be accepted.
pub async fn serve_each<F>(
    listener: &TcpListener,
    name: &'static str,
    most: usize,
    serve: impl Fn(TcpStream) -> F,
) -> !
where
    F: Future<Output = ()> + 'static,
{
    let mut served: FuturesUnordered<JoinHandle<()>> = FuturesUnordered::new();
    loop {
        let stream = {
            let mut accept = pin!(listener.accept());
            poll_fn(|context| {
                while let Poll::Ready(Some(_)) = served.poll_next_unpin(context) {}
                if served.len() >= most { Poll::Pending } else { accept.as_mut().poll(context) }
            })
            .await
        };
        served.push(executor::spawn::<Pollux, _>(name, Priority::Normal, serve(stream)));
    }
}
