//! Values that may come again.

use hashbrown::HashMap;
use pyo3::prelude::*;
use smallvec::SmallVec;

/// Values that are referred to more than once: how they are written again, if they can be by now. They stay alive, so
/// that no other takes their address.
pub(super) struct Met<'py, K> {
    values: SmallVec<[(Option<K>, Bound<'py, PyAny>); 4]>,
    /// Their places, once there are more than a few.
    places: HashMap<usize, usize>,
}

impl<K> Default for Met<'_, K> {
    fn default() -> Self {
        Self {
            values: SmallVec::new(),
            places: HashMap::new(),
        }
    }
}

impl<'py, K> Met<'py, K> {
    const FEW: usize = 4;

    pub(super) fn insert(&mut self, value: Bound<'py, PyAny>, known: Option<K>) {
        self.values.push((known, value));
        if self.values.len() > Self::FEW {
            let unplaced = self.places.len()..self.values.len();
            let addresses = unplaced.map(|place| (self.values[place].1.as_ptr().addr(), place));
            self.places.extend(addresses);
        }
    }

    pub(super) fn get_mut(&mut self, address: usize) -> Option<&mut Option<K>> {
        let place = if self.values.len() > Self::FEW {
            self.places.get(&address).copied()
        } else {
            let mut values = self.values.iter();
            values.position(|(_, value)| value.as_ptr().addr() == address)
        };
        place.map(|place| &mut self.values[place].0)
    }
}
