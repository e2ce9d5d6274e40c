//! What a slot holds for a device, and what comes back of it.

use hal::dma::{DmaBuf, DmaLoan, Loan, Memory};

/// Something lent to a device for one command.
pub trait Lent {
    /// What it is when the device is done with it.
    type Returned;

    /// Takes it back. Called once the device is done, and only then; dropping instead leaks.
    fn reclaim(self) -> Self::Returned;
}

/// Something lent for a command of which the device has not been told yet. Dropped, it is taken
/// back: the device does not know it.
pub struct Untold<L: Lent>(Option<L>);

impl<L: Lent> Untold<L> {
    /// Until [`Untold::into_inner`], which comes before telling the device.
    #[inline]
    pub fn new(lent: L) -> Self {
        Self(Some(lent))
    }

    /// What was lent.
    #[inline]
    pub fn into_inner(mut self) -> L {
        self.0.take().expect("only this takes it")
    }
}

impl<L: Lent> Drop for Untold<L> {
    #[inline]
    fn drop(&mut self) {
        if let Some(lent) = self.0.take() {
            drop(lent.reclaim());
        }
    }
}

impl Lent for DmaLoan {
    type Returned = DmaBuf;

    fn reclaim(self) -> DmaBuf {
        DmaLoan::reclaim(self)
    }
}

impl Lent for Loan {
    type Returned = Memory;

    fn reclaim(self) -> Memory {
        Loan::reclaim(self)
    }
}

/// A command without memory, such as a flush.
impl Lent for () {
    type Returned = ();

    fn reclaim(self) {}
}

/// A command that may have memory.
impl<T: Lent> Lent for Option<T> {
    type Returned = Option<T::Returned>;

    fn reclaim(self) -> Self::Returned {
        self.map(Lent::reclaim)
    }
}

/// Data and, say, the list that describes it.
impl<A: Lent, B: Lent> Lent for (A, B) {
    type Returned = (A::Returned, B::Returned);

    fn reclaim(self) -> Self::Returned {
        (self.0.reclaim(), self.1.reclaim())
    }
}
