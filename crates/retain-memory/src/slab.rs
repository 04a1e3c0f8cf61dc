//! Entries by slot number: a slot stays where it is while its entry lives, and is used again after.

use crate::policy::Slot;

pub(crate) struct Slab<T> {
    slots: Vec<Option<T>>,
    free: Vec<Slot>,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Slots in use or free: every slot number is below it.
    pub(crate) fn extent(&self) -> usize {
        self.slots.len()
    }

    /// Stores `item`, or gives it back if all slot numbers are taken.
    pub(crate) fn insert(&mut self, item: T) -> Result<Slot, T> {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Some(item);
            return Ok(slot);
        }
        match Slot::try_from(self.slots.len()) {
            Ok(slot) if slot != Slot::MAX => {
                self.slots.push(Some(item));
                Ok(slot)
            }
            _ => Err(item),
        }
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<T> {
        let item = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        Some(item)
    }

    #[inline]
    pub(crate) fn get(&self, slot: Slot) -> Option<&T> {
        self.slots.get(slot as usize)?.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// The entries in slot order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten()
    }

    pub(crate) fn into_items(self) -> impl Iterator<Item = T> {
        self.slots.into_iter().flatten()
    }

    /// Bytes on the heap.
    pub(crate) fn allocated(&self) -> usize {
        self.slots.capacity() * size_of::<Option<T>>() + self.free.capacity() * size_of::<Slot>()
    }
}
