//! What a slot holds for a device, and what comes back of it.

use hal::dma::{DmaBuf, DmaLoan, Loan, Memory};

/// Something lent to a device for one command.
pub trait Lent {
    /// What it is when the device is done with it.
    type Returned;

    /// Takes it back. Called once the device is done, and only then; dropping instead leaks.
    fn reclaim(self) -> Self::Returned;
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
