//! The `syscall` instruction, as `protocols::abi` lays its registers out.
//!
//! A call of n arguments loads n registers only, so that `Null` costs what the kernel costs. All
//! registers the ABI returns as zero are declared as outputs and thrown away. On the host every
//! call answers `NotSupported`, so that programs type-check there.

use crate::abi::message::{CAPABILITIES_MAX, Info, Message, Sender, WORDS};
use crate::abi::{Error, Handle, Syscall};

/// What a call left in `rax` (decoded) and `rdx`.
pub type Returned = Result<(u64, u64), Error>;

macro_rules! plain_call {
    ($name:ident($($argument:ident),*), $rdx:ident, $($operands:tt)*) => {
        /// Raw system call; the arguments go to `rdi rsi rdx r10 r8 r9` in order.
        ///
        /// # Safety
        /// What the call does to the memory and the control flow of this process must be sound
        /// here: pointers valid for what the call reads or writes, unmapped ranges unused.
        #[cfg(target_os = "none")]
        #[inline(always)]
        pub unsafe fn $name(call: Syscall $(, $argument: u64)*) -> Returned {
            let (rax, $rdx): (u64, u64);
            // SAFETY: the kernel preserves every register but those declared here (abi module
            // documentation) and leaves the user stack alone; effects on memory are the caller's.
            unsafe {
                core::arch::asm!(
                    "syscall",
                    inlateout("rax") call as u64 => rax,
                    lateout("rcx") _, lateout("r11") _,
                    $($operands)*
                    options(nostack),
                );
            }
            Ok((crate::abi::decode(rax)?, $rdx))
        }

        /// Raw system call: the host has no such kernel.
        ///
        /// # Safety
        /// Nothing to keep on the host.
        #[cfg(not(target_os = "none"))]
        pub unsafe fn $name(call: Syscall $(, $argument: u64)*) -> Returned {
            let _ = (call, $($argument),*);
            Err(Error::NotSupported)
        }
    };
}

plain_call!(call0(), rdx,
    lateout("rdi") _, lateout("rsi") _, lateout("rdx") rdx,
    lateout("r10") _, lateout("r8") _, lateout("r9") _,);
plain_call!(call1(a), rdx,
    inlateout("rdi") a => _, lateout("rsi") _, lateout("rdx") rdx,
    lateout("r10") _, lateout("r8") _, lateout("r9") _,);
plain_call!(call2(a, b), rdx,
    inlateout("rdi") a => _, inlateout("rsi") b => _, lateout("rdx") rdx,
    lateout("r10") _, lateout("r8") _, lateout("r9") _,);
plain_call!(call3(a, b, c), rdx,
    inlateout("rdi") a => _, inlateout("rsi") b => _, inlateout("rdx") c => rdx,
    lateout("r10") _, lateout("r8") _, lateout("r9") _,);
plain_call!(call4(a, b, c, d), rdx,
    inlateout("rdi") a => _, inlateout("rsi") b => _, inlateout("rdx") c => rdx,
    inlateout("r10") d => _, lateout("r8") _, lateout("r9") _,);
plain_call!(call5(a, b, c, d, e), rdx,
    inlateout("rdi") a => _, inlateout("rsi") b => _, inlateout("rdx") c => rdx,
    inlateout("r10") d => _, inlateout("r8") e => _, lateout("r9") _,);

/// A message call that sends only ([`Syscall::Send`], [`Syscall::Reply`]).
#[cfg(target_os = "none")]
#[inline(always)]
pub fn message_out(call: Syscall, endpoint: Handle, message: &Message) -> Result<(), Error> {
    exchange(call, endpoint, message).map(|_| ())
}

/// A message call in its full register form: `message` out, another one and its sender in.
#[cfg(target_os = "none")]
#[inline(always)]
pub fn exchange(
    call: Syscall,
    endpoint: Handle,
    message: &Message,
) -> Result<(Sender, Message), Error> {
    let mut words = message.words;
    let received = exchange_all(call, endpoint, message.info, &mut words, &message.capabilities)?;
    let (info, capabilities) = (received.info, received.capabilities());
    Ok((received.sender, Message { info, words, capabilities }))
}

/// The same on parts: the words of the message that comes back replace those sent.
#[cfg(target_os = "none")]
#[inline(always)]
pub fn exchange_all(
    call: Syscall,
    endpoint: Handle,
    info: Info,
    words: &mut [u64; WORDS],
    capabilities: &[Handle; CAPABILITIES_MAX],
) -> Result<Received, Error> {
    let [h0, h1, h2, h3] = capabilities.map(|handle| u64::from(handle.0));
    let (rax, sender, came): (u64, u64, u64);
    let [w0, w1, w2, w3, w4, w5] = words;
    let (mut r14, mut r15) = (h0 | h1 << 32, h2 | h3 << 32);
    // SAFETY: a message call touches no memory of this process; every register it changes is
    // declared here (abi::message).
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") call as u64 => rax,
            inlateout("rdi") u64::from(endpoint.0) => sender,
            inlateout("rsi") info.0 => came,
            inlateout("rdx") *w0,
            inlateout("r10") *w1,
            inlateout("r8") *w2,
            inlateout("r9") *w3,
            inlateout("r12") *w4,
            inlateout("r13") *w5,
            inlateout("r14") r14,
            inlateout("r15") r15,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    crate::abi::decode(rax)?;
    Ok(Received { sender: Sender(sender), info: Info(came), r14, r15 })
}

/// What a message call of words brought back besides the words.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Who sent it.
    pub sender: Sender,
    /// Its label and count of capabilities.
    pub info: Info,
    r14: u64,
    r15: u64,
}

impl Received {
    /// The capabilities it brought: as many as its `info` counts, the rest none.
    pub fn capabilities(&self) -> [Handle; CAPABILITIES_MAX] {
        let halves = [self.r14, self.r14 >> 32, self.r15, self.r15 >> 32];
        let mut handles = halves.map(|half| Handle(half as u32));
        handles[self.info.capabilities().min(CAPABILITIES_MAX)..].fill(Handle::NONE);
        handles
    }
}

/// A message call that sends words only: what the fast path of the kernel is made for. The words
/// of the message that comes back replace those sent.
#[cfg(target_os = "none")]
#[inline(always)]
pub fn exchange_words(
    call: Syscall,
    endpoint: Handle,
    label: u32,
    words: &mut [u64; WORDS],
) -> Result<Received, Error> {
    let (rax, sender, info, r14, r15): (u64, u64, u64, u64, u64);
    let [w0, w1, w2, w3, w4, w5] = words;
    // SAFETY: as in `exchange`; r14 and r15 are not read, since `info` counts no capabilities.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") call as u64 => rax,
            inlateout("rdi") u64::from(endpoint.0) => sender,
            inlateout("rsi") u64::from(label) => info,
            inlateout("rdx") *w0,
            inlateout("r10") *w1,
            inlateout("r8") *w2,
            inlateout("r9") *w3,
            inlateout("r12") *w4,
            inlateout("r13") *w5,
            lateout("rcx") _, lateout("r11") _, lateout("r14") r14, lateout("r15") r15,
            options(nostack),
        );
    }
    crate::abi::decode(rax)?;
    Ok(Received { sender: Sender(sender), info: Info(info), r14, r15 })
}

/// [`Syscall::ReplyReceive`] again and again: answers with the words that came, under label 0, for
/// as long as messages are nothing but words under label 0. Returns with the first that is not, its
/// words in `words`. The barest server there can be: seven instructions around the call.
#[cfg(target_os = "none")]
#[inline(never)]
pub fn echo_words(endpoint: Handle, words: &mut [u64; WORDS]) -> Result<Received, Error> {
    let (rax, sender, info, r14, r15): (u64, u64, u64, u64, u64);
    let [w0, w1, w2, w3, w4, w5] = words;
    // SAFETY: as in `exchange_words`; the stack pointer is put back.
    unsafe {
        core::arch::asm!(
            "push rdi",
            "2:",
            "mov eax, {call}",
            "mov rdi, [rsp]",
            "xor esi, esi",
            "syscall",
            "mov rcx, rax",
            "or rcx, rsi",
            "jz 2b",
            "pop rcx",
            call = const Syscall::ReplyReceive as u32,
            out("rax") rax,
            inlateout("rdi") u64::from(endpoint.0) => sender,
            lateout("rsi") info,
            inlateout("rdx") *w0,
            inlateout("r10") *w1,
            inlateout("r8") *w2,
            inlateout("r9") *w3,
            inlateout("r12") *w4,
            inlateout("r13") *w5,
            lateout("rcx") _, lateout("r11") _, lateout("r14") r14, lateout("r15") r15,
        );
    }
    crate::abi::decode(rax)?;
    Ok(Received { sender: Sender(sender), info: Info(info), r14, r15 })
}

/// The host has no such kernel.
#[cfg(not(target_os = "none"))]
pub fn echo_words(_: Handle, _: &mut [u64; WORDS]) -> Result<Received, Error> {
    Err(Error::NotSupported)
}

/// The host has no such kernel.
#[cfg(not(target_os = "none"))]
pub fn message_out(_: Syscall, _: Handle, _: &Message) -> Result<(), Error> {
    Err(Error::NotSupported)
}

/// The host has no such kernel.
#[cfg(not(target_os = "none"))]
pub fn exchange(_: Syscall, _: Handle, _: &Message) -> Result<(Sender, Message), Error> {
    Err(Error::NotSupported)
}

/// The host has no such kernel.
#[cfg(not(target_os = "none"))]
pub fn exchange_all(
    _: Syscall,
    _: Handle,
    _: Info,
    _: &mut [u64; WORDS],
    _: &[Handle; CAPABILITIES_MAX],
) -> Result<Received, Error> {
    Err(Error::NotSupported)
}

/// The host has no such kernel.
#[cfg(not(target_os = "none"))]
pub fn exchange_words(
    _: Syscall,
    _: Handle,
    _: u32,
    _: &mut [u64; WORDS],
) -> Result<Received, Error> {
    Err(Error::NotSupported)
}
