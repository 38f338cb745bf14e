//! A group of batches in the form of the statement that commits it.

use crate::registry::message::entry::{encode_entry, encode_object};
use phalanx_core::registry::object::Object;
use phalanx_core::registry::store::CommitGroup;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_postgres::types::ToSql;

/// Maximum size of a row's content, in bytes. The tables have the same bound.
pub(super) const ROW_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Commits a group, if the lease row has the epoch, the number of commits and the head that the group expects. Returns
/// a row if it does.
///
/// Objects that a group changes several times are written once. Statements of one query do not see each other's
/// changes, so that batches up to the floor are not written at all.
pub(super) const COMMIT: &str = "
    WITH fence AS (
        UPDATE lease SET head = coalesce($4, head), ticket = ticket + 1,
            expires = clock_timestamp() + $5 * interval '1 second'
        WHERE number = $1 AND incarnation = $2 AND ticket = $3 AND head = coalesce($6, head)
        RETURNING head
    ), appended AS (
        INSERT INTO entry
        SELECT * FROM unnest($7::bigint[], $8::bytea[]) WHERE EXISTS (SELECT FROM fence)
    ), put AS (
        INSERT INTO object
        SELECT * FROM unnest($9::text[], $10::bytea[]) WHERE EXISTS (SELECT FROM fence)
        ON CONFLICT (name) DO UPDATE SET content = excluded.content
    ), removed AS (
        DELETE FROM object WHERE name = ANY($11::text[]) AND EXISTS (SELECT FROM fence)
    ), copied AS (
        INSERT INTO copy
        SELECT * FROM unnest($12::text[], $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[])
        WHERE EXISTS (SELECT FROM fence)
        ON CONFLICT (region) DO UPDATE SET store = excluded.store, number = excluded.number,
            incarnation = excluded.incarnation, sequence = excluded.sequence, hash = excluded.hash
    ), compacted AS (
        DELETE FROM entry USING fence, region
        WHERE entry.sequence > region.floor AND entry.sequence <= least($18, fence.head)
    ), floored AS (
        UPDATE region SET floor = least($18, fence.head) FROM fence
        WHERE region.floor < least($18, fence.head)
    )
    SELECT head FROM fence";

/// A group that cannot be committed whatever the store has.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnfitGroup {
    #[error("the batches of the group have no consecutive numbers")]
    Gap,
    #[error("a record has {0} bytes, more than a row may have")]
    TooLarge(usize),
}

/// The columns of the positions of copies.
#[derive(Debug, Default)]
struct CopyColumns {
    regions: Vec<String>,
    /// Store, epoch, incarnation, sequence number and hash.
    numbers: [Vec<i64>; 5],
}

/// The values of [`COMMIT`].
#[derive(Debug)]
pub(super) struct EncodedGroup {
    epoch: (i64, i64),
    /// The heads before and after the group; none if the group has no batches.
    heads: Option<(i64, i64)>,
    entries: (Vec<i64>, Vec<Vec<u8>>),
    objects: (Vec<String>, Vec<Vec<u8>>),
    removed: Vec<String>,
    copies: CopyColumns,
    floor: i64,
}

fn number(number: u64) -> i64 {
    number.cast_signed()
}

impl EncodedGroup {
    pub(super) fn of(group: &CommitGroup) -> Result<Self, UnfitGroup> {
        let sequences: Vec<_> = group
            .entries
            .iter()
            .map(|it| it.revision.sequence)
            .collect();
        let first = sequences.first().copied();
        let heads = match first.map(|first| (first.checked_sub(1), sequences.len() as u64)) {
            Some((Some(before), length)) => Some((before, before + length)),
            Some((None, _)) => return Err(UnfitGroup::Gap),
            None if group.copies.is_empty() => return Err(UnfitGroup::Gap),
            None => None,
        };
        if heads.is_some_and(|(before, after)| !(before + 1..=after).eq(sequences)) {
            return Err(UnfitGroup::Gap);
        }
        let mut latest = BTreeMap::<&str, Option<&Arc<Object>>>::new();
        for change in group.entries.iter().flat_map(|entry| &entry.changes) {
            latest.insert(change.name.as_str(), change.after.as_ref());
        }
        for (name, after) in group.copies.iter().flat_map(|update| &update.changes) {
            latest.insert(name.as_str(), after.as_ref());
        }
        let entries = group.entries.iter();
        let entries = entries.filter(|it| group.floor < it.revision.sequence);
        let mut encoded = Self {
            epoch: (number(group.epoch.number), number(group.epoch.incarnation)),
            heads: heads.map(|(before, after)| (number(before), number(after))),
            entries: entries
                .map(|it| (number(it.revision.sequence), encode_entry(it)))
                .unzip(),
            objects: (Vec::new(), Vec::new()),
            removed: Vec::new(),
            copies: CopyColumns::default(),
            floor: number(group.floor.min(i64::MAX as u64)),
        };
        for (name, after) in latest {
            match after {
                Some(after) => {
                    encoded.objects.0.push(name.to_owned());
                    encoded.objects.1.push(encode_object(after));
                }
                None => encoded.removed.push(name.to_owned()),
            }
        }
        for update in &group.copies {
            let (at, epoch) = (update.position.at, update.position.at.epoch);
            encoded.copies.regions.push(update.region.to_string());
            let numbers = [
                update.position.store,
                epoch.number,
                epoch.incarnation,
                at.sequence,
                update.position.hash,
            ];
            for (column, value) in encoded.copies.numbers.iter_mut().zip(numbers) {
                column.push(number(value));
            }
        }
        encoded.check_sizes()?;
        Ok(encoded)
    }

    fn check_sizes(&self) -> Result<(), UnfitGroup> {
        let contents = self.entries.1.iter().chain(&self.objects.1);
        match contents
            .map(Vec::len)
            .find(|length| *length > ROW_BYTES_MAX)
        {
            Some(length) => Err(UnfitGroup::TooLarge(length)),
            None => Ok(()),
        }
    }

    /// The heads before and after the group; none if the group has no batches.
    pub(super) fn heads(&self) -> Option<(u64, u64)> {
        let heads = self.heads?;
        Some((heads.0.cast_unsigned(), heads.1.cast_unsigned()))
    }

    /// Calls a function with the values, in their order.
    pub(super) async fn with_values<T>(
        &self,
        (ticket, lease_seconds): (i64, f64),
        call: impl AsyncFnOnce(&[&(dyn ToSql + Sync)]) -> T,
    ) -> T {
        let (before, after) = self.heads.unzip();
        let [store, epoch, incarnation, sequence, hash] = &self.copies.numbers;
        call(&[
            &self.epoch.0,
            &self.epoch.1,
            &ticket,
            &after,
            &lease_seconds,
            &before,
            &self.entries.0,
            &self.entries.1,
            &self.objects.0,
            &self.objects.1,
            &self.removed,
            &self.copies.regions,
            store,
            epoch,
            incarnation,
            sequence,
            hash,
            &self.floor,
        ])
        .await
    }
}
