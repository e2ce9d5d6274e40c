//! Things that never end by themselves: the kernel must stay responsive, and kill must work.

use bench::abi::message::Message;
use bench::abi::{Error, FOREVER};
use bench::runtime::capability::Endpoint;
use bench::runtime::{Env, calls, thread};

use crate::checks::Checks;

/// Does one of them. Returning at all is a surprise.
pub fn run(attack: &str, env: &Env) -> Option<Checks> {
    let ended: Result<(), Error> = match attack {
        "loop" => spin(),
        "loops_everywhere" => {
            for core in 0..env.cores {
                // The handle may go: the thread runs on without it.
                let _ = thread::spawn(core, || spin());
            }
            spin()
        }
        "sleep" => calls::sleep_until(FOREVER),
        "receive" => Endpoint::create().and_then(|endpoint| endpoint.receive().map(|_| ())),
        "call_to_itself" => {
            let message = Message::new(0, [0; 6]);
            Endpoint::create().and_then(|endpoint| endpoint.call(&message).map(|_| ()))
        }
        "system_calls" => loop {
            if let Err(error) = calls::null().and_then(|()| calls::yield_now()) {
                break Err(error);
            }
        },
        _ => return None,
    };
    let mut checks = Checks::new();
    checks.holds((attack, ended), false);
    Some(checks)
}

fn spin() -> ! {
    loop {
        core::hint::spin_loop();
    }
}
