//! What the machine offers to the network, as the command line says: the status page (`net.http`),
//! its log (`net.syslog`), services for measuring (`net.services`).

use super::net::{self, Net, NetError};
use super::traffic::{self, Service};
use super::{remote_log, web};
use crate::logs::outgoing;
use crate::platform::Pollux;
use alloc::format;
use core::fmt::Display;
use core::future::Future;
use executor::Priority;
use kernel_text::net_settings::Services;

/// Starts all of it. Who listens does so at interfaces that come later, too.
pub fn start() {
    let settings = net::settings();
    match settings.syslog {
        Some(to) => offer("the log", move |net| remote_log::serve(net, to)),
        None => outgoing::close(),
    }
    if let Some(port) = settings.http {
        offer("the status page", move |net| web::serve(net, port));
    }
    if settings.services == Services::On {
        for service in Service::ALL {
            let name = format!("{service:?} by TCP");
            offer(name, move |net| traffic::serve_streams(net, service));
            let name = format!("{service:?} by UDP");
            offer(name, move |net| traffic::serve_datagrams(net, service));
        }
        offer("iperf3", traffic::serve_iperf3);
    }
}

/// Has `serve` done on the network core, and says why it ended, if it does.
fn offer<F, Fut>(name: impl Display + 'static, serve: F)
where
    F: FnOnce(Net) -> Fut + Send + 'static,
    Fut: Future<Output = Result<(), NetError>> + 'static,
{
    let task = async move {
        match net::on(serve).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log::warn!("net: {name} is not offered: {error}"),
            Err(error) => log::warn!("net: {name} is not offered: {error}"),
        }
    };
    executor::spawn::<Pollux, _>("offer", Priority::Normal, task).detach();
}
