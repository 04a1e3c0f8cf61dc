//! The blocks of pandas' tables: arrays, and which columns lie in each.

use super::arena::{Holder, Kind, Node, Value};
use super::domain::{Reason, Verifier, refuse};

impl Verifier<'_> {
    /// `_unpickle_block(values, places, 2)`: a block of a table. Blocks of series are not written so.
    pub(super) fn block(&mut self, values: Value, places: Value) -> Result<Value, Reason> {
        let Some(sizes) = self.sizes_of(values) else {
            return refuse("a block of no array");
        };
        let (columns, rows) = match *sizes.as_slice() {
            [columns, rows] => (columns, rows),
            [rows] if self.arena.array(values).is_none() => (1, rows),
            _ => return refuse("a block of another number of dimensions"),
        };
        let Some(places) = self.places(places, columns)? else {
            return refuse("a block whose columns are not as many as its places");
        };
        let items = self.arena.push_items(&places);
        let depth = self.arena.depth(values) + 1;
        let detail = self.arena.node(Node::Tuple {
            items,
            depth,
            cost: 0,
            frozen: true,
        });
        let extent = i64::try_from(rows).unwrap_or(i64::MAX);
        let block = self.object(Kind::Block, true, false, extent, detail);
        if let Some(object) = self.arena.object_mut(block) {
            object.parts = values;
        }
        Ok(block)
    }

    /// The numbers of a block's columns: either a slice's three parts, or each of them.
    fn places(&mut self, places: Value, count: u64) -> Result<Option<Vec<Value>>, Reason> {
        if let Some(slice) = self.arena.built(places, Kind::Slice) {
            let Some(&[Value::Int(start), Value::Int(stop), Value::Int(stride)]) =
                self.arena.tuple(slice.detail)
            else {
                return refuse("a block whose places are no integers");
            };
            if start < 0 || stop < start || stride < 1 || stop > 1 << 40 {
                return refuse("a block whose places run backwards");
            }
            let span = (stop - start)
                .unsigned_abs()
                .div_ceil(stride.unsigned_abs());
            return Ok((span == count)
                .then(|| vec![Value::Int(start), Value::Int(stop), Value::Int(stride)]));
        }
        let mut all = vec![Value::None];
        let good = self.integers(places, |place| {
            all.push(Value::Int(place));
            place >= 0
        })?;
        self.charge(all.len() as u64 * 16);
        Ok((good && all.len() as u64 == count + 1).then_some(all))
    }

    /// `BlockManager(blocks, axes)`.
    pub(super) fn manager(&mut self, blocks: Value, axes: Value) -> Result<Value, Reason> {
        let axes = self.arena.members(axes, Holder::List).map(|axes| {
            axes.take(3)
                .map(|axis| {
                    self.arena
                        .built(axis, Kind::Index)
                        .map(|index| index.extent)
                })
                .collect::<Vec<_>>()
        });
        let Some(&[Some(columns), Some(rows)]) = axes.as_deref() else {
            return refuse("blocks without two axes");
        };
        let Some(members) = self.arena.tuple(blocks) else {
            return refuse("blocks that are no tuple");
        };
        let mut each = Vec::new();
        let mut total = 0u64;
        for &block in members {
            let Some(block) = self.arena.built(block, Kind::Block) else {
                return refuse("blocks, one of which is none");
            };
            let Some(places) = self.arena.tuple(block.detail) else {
                return refuse("blocks without places");
            };
            if block.extent != rows {
                return refuse("blocks that are not as long as the index");
            }
            total += match *places {
                [Value::Int(start), Value::Int(stop), Value::Int(stride)] => (stop - start)
                    .unsigned_abs()
                    .div_ceil(stride.unsigned_abs().max(1)),
                _ => places.len() as u64 - 1,
            };
            each.push(places);
        }
        if u64::try_from(columns) != Ok(total) || total > 1 << 24 {
            return refuse("blocks that do not have as many columns as there are");
        }
        self.arena.spend(total);
        let mut taken = vec![false; usize::try_from(total).unwrap_or(0)];
        let mut take = |place: i64| {
            let slot = usize::try_from(place)
                .ok()
                .and_then(|place| taken.get_mut(place));
            slot.is_some_and(|slot| !std::mem::replace(slot, true))
        };
        for places in each {
            let good = match *places {
                [Value::Int(start), Value::Int(stop), Value::Int(stride)] => {
                    let stride = usize::try_from(stride).unwrap_or(1).max(1);
                    (start..stop).step_by(stride).all(&mut take)
                }
                _ => places.iter().skip(1).all(|&place| match place {
                    Value::Int(place) => take(place),
                    _ => false,
                }),
            };
            if !good {
                return refuse("blocks whose columns are not all columns, each once");
            }
        }
        self.charge(total * 32);
        Ok(self.object(Kind::Manager, true, false, 2, blocks))
    }

    /// The state of a manager of one block: axes, values, items, and all that again in the layout of 0.14.1.
    pub(super) fn single_state(&mut self, state: Value) -> Result<(), Reason> {
        let Some([_, _, _, extra]) = self.arena.tuple_of::<4>(state) else {
            return refuse("a series of another state");
        };
        let one = |value: Value| {
            let mut members = self.arena.members(value, Holder::List)?;
            members.next().filter(|_| members.next().is_none())
        };
        let inner = self
            .arena
            .entries(extra)
            .and_then(|entries| match *entries.as_slice() {
                [(b"0.14.1", inner)] => self.arena.entries(inner),
                _ => None,
            });
        let find = |name: &[u8]| {
            let inner = inner.as_ref()?;
            inner
                .iter()
                .find(|&&(key, _)| key == name)
                .and_then(|&(_, value)| one(value))
        };
        let (Some(axis), Some(block)) = (find(b"axes"), find(b"blocks")) else {
            return refuse("a series without one axis and one block");
        };
        let Some(length) = self
            .arena
            .built(axis, Kind::Index)
            .map(|index| index.extent)
        else {
            return refuse("a series of no index");
        };
        let Some(mut entries) = self.arena.entries(block) else {
            return refuse("a series of no block");
        };
        entries.sort_by_key(|&(key, _)| key);
        let &[(b"mgr_locs", places), (b"values", values)] = entries.as_slice() else {
            return refuse("a series of a block without values");
        };
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        if self.sizes_of(values).as_deref() != Some(&[length]) {
            return refuse("a series that is not as long as its index");
        }
        match self.places(places, length)?.as_deref() {
            Some([Value::Int(0), Value::Int(_), Value::Int(1)]) => Ok(()),
            _ => refuse("a series whose places are not its own"),
        }
    }
}
