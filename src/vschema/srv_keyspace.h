#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "shard/destination.h"
#include "shard/shard_name.h"
#include "topodata.pb.h"

// Pure functions on the SrvKeyspace record: reading it to route (gate), and changing it when a Reshard switches traffic
// (control). Building it from Shard records is topo's make_srv_keyspace().
namespace vitrail::vschema {

// Null when there is none.
const ::topodata::SrvKeyspace::KeyspacePartition* find_partition(const ::topodata::SrvKeyspace& record,
                                                                 ::topodata::TabletType type);

// The shards that serve one tablet type of a keyspace in one cell: one partition, prepared for routing. Immutable.
//
// A shard that is referenced but has query_service_disabled is in the middle of a switch: it is still the owner of its
// range, but nothing may be sent. Routing to it gives
//   kClusterEvent  "current keyspace is being resharded": hold the statement until the record has changed.
class ServingPartition {
 public:
  ServingPartition() = default;
  // kUnavailable when the record has no partition for the type; kInvalidArgument for a bad shard name in it.
  static Result<ServingPartition> make(const ::topodata::SrvKeyspace& record, ::topodata::TabletType type,
                                       std::string_view keyspace);

  // The referenced shards, in key range order. Indexes below are into this.
  const shard::ShardSet& shards() const { return shards_; }
  const std::string& shard_name(int index) const { return shards_.shards()[static_cast<size_t>(index)].str(); }
  bool is_disabled(int index) const { return disabled_[static_cast<size_t>(index)]; }
  // Is any referenced shard disabled? While it is, the keyspace is being resharded.
  bool is_switching() const { return is_switching_; }

  // The owner of one keyspace id. kUnavailable when no shard owns it; kClusterEvent.
  Result<int> find(std::string_view keyspace_id) const;
  Result<int> find_u64(uint64_t keyspace_id) const;
  // Every shard where rows of the destination can be, ascending; empty for kNone.
  Result<std::vector<int>> resolve(const shard::Destination& destination) const;
  // All shards. kClusterEvent when one is disabled; kUnavailable when there is none.
  Result<std::vector<int>> all() const;

  // For an explicit target (keyspace:shard): may it be sent statements of this type? A shard need not be referenced for
  // that, but must not be disabled. If it is: kClusterEvent for a referenced shard, kFailedPrecondition for another
  // (its traffic has been switched away, so waiting does not help).
  Status check_explicit(std::string_view shard) const;

 private:
  Result<int> check(int index, std::string_view id) const;

  std::string keyspace_;
  shard::ShardSet shards_;
  std::vector<bool> disabled_;               // By index.
  std::vector<std::string> disabled_names_;  // Also of shards that are not referenced. Sorted.
  bool is_switching_ = false;
};

// The four changes of a Reshard. Each works on one cell's record and may be repeated. `sources` and `targets` are
// the workflow's shards; a partition that the record lacks is left out. References stay in key range order, controls in
// the order in which they were made: sources, then targets.

// SwitchTraffic for REPLICA or RDONLY: the partition references the targets in place of the sources, and has a control
// for each of them: disabled for the sources, not for the targets.
Status switch_reads(::topodata::SrvKeyspace& record, ::topodata::TabletType type,
                    std::span<const shard::ShardName> sources, std::span<const shard::ShardName> targets);
// ReverseTraffic: the sources are referenced again and the partition has none of these controls, as before the switch.
Status reverse_reads(::topodata::SrvKeyspace& record, ::topodata::TabletType type,
                     std::span<const shard::ShardName> sources, std::span<const shard::ShardName> targets);

// Before writes are switched: the PRIMARY partition gets a disabled control for each of `shards` (the sources; when
// reversing, the targets). allow_writes() undoes it.
Status stop_writes(::topodata::SrvKeyspace& record, std::span<const shard::ShardName> shards);
Status allow_writes(::topodata::SrvKeyspace& record, std::span<const shard::ShardName> shards);

// Writes are switched: the PRIMARY partition references `to` in place of `from`, and its controls are gone. The other
// partitions keep theirs. Reversing is the same call with the sides exchanged.
Status switch_writes(::topodata::SrvKeyspace& record, std::span<const shard::ShardName> from,
                     std::span<const shard::ShardName> to);

// Complete: no partition has controls any more.
void clear_tablet_controls(::topodata::SrvKeyspace& record);

// SetShardTabletControl: one shard's query_service_disabled for one type. A control that exists is changed in place.
// kNotFound when the record has no partition for the type.
Status set_query_service_disabled(::topodata::SrvKeyspace& record, ::topodata::TabletType type,
                                  const shard::ShardName& shard, bool disabled);

}  // namespace vitrail::vschema
