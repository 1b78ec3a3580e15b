#include "control/workflow/dry_run.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "control/workflow/partial.h"
#include "control/workflow/tenant.h"
#include "topo/tablet.h"

namespace vitrail::control {
namespace {

using Lines = std::vector<std::string>;

std::string bracketed(const Lines& items) { return "[" + base::join(items, ",") + "]"; }

uint32_t uid_of(const WorkflowShard& shard) { return shard.primary.alias().uid(); }

// From where rows come, and to where.
std::string shards_of(const WorkflowModel& streams, bool targets) {
  Lines out;
  if (targets) {
    for (const auto& [name, target] : streams.targets) out.push_back(name);
  } else {
    for (const auto& [name, source] : streams.sources) out.push_back(name);
  }
  return bracketed(out);
}

void lock(Lines& lines, const std::string& source, const std::string& target) {
  lines.push_back("Lock keyspace " + source);
  if (target != source) lines.push_back("Lock keyspace " + target);
}

void unlock(Lines& lines, const std::string& source, const std::string& target) {
  if (target != source) lines.push_back("Unlock keyspace " + target);
  lines.push_back("Unlock keyspace " + source);
}

void describe_mirrors(const DryRun& facts, std::vector<::topodata::TabletType> ended, Lines& lines) {
  Lines types;
  for (const auto type : ended) {
    if (std::ranges::find(facts.mirrored, type) != facts.mirrored.end())
      types.push_back(::topodata::TabletType_Name(type));
  }
  if (types.empty()) return;
  lines.push_back(fmt::format("Mirroring 0.00 percent of traffic from keyspace {} to keyspace {} for tablet types {}",
                              facts.streams.source_keyspace, facts.streams.target_keyspace, bracketed(types)));
}

void describe_reads(const DryRun& facts, Lines& lines) {
  const auto& streams = facts.streams;
  const bool back = facts.back;
  const std::string& from = back ? streams.target_keyspace : streams.source_keyspace;
  const std::string& to = back ? streams.source_keyspace : streams.target_keyspace;
  Lines types;
  for (const auto type : facts.read_types) types.push_back(::topodata::TabletType_Name(type));
  std::ranges::sort(types);
  lines.push_back("Lock keyspace " + to);
  if (!back) describe_mirrors(facts, facts.read_types, lines);
  if (streams.is_reshard) {
    lines.push_back(fmt::format("Switch reads from keyspace {} to keyspace {} for shards {} to shards {}", from, to,
                                shards_of(streams, back), shards_of(streams, !back)));
  } else {
    lines.push_back(fmt::format("Switch reads for tables {} to keyspace {} for tablet types {}",
                                bracketed(facts.tables), to, bracketed(types)));
    lines.push_back(facts.tenant
                        ? fmt::format("Keyspace routing rules for keyspace {} will be updated", streams.source_keyspace)
                        : fmt::format("Routing rules for tables {} will be updated", bracketed(facts.tables)));
    lines.push_back(fmt::format("Serving VSchema will be rebuilt for the {} keyspace", to));
  }
  lines.push_back("Unlock keyspace " + to);
}

void describe_writes(const DryRun& facts, Lines& lines) {
  const auto& streams = facts.streams;
  const std::string tables = bracketed(facts.tables);
  Lines stopped;
  Lines source_tablets;
  Lines source_shards;
  for (const auto& [name, source] : streams.sources) {
    const auto position = facts.positions.find(name);
    stopped.push_back(fmt::format("keyspace:{};shard:{};position:{}", streams.source_keyspace, name,
                                  position == facts.positions.end() ? "" : position->second));
    source_tablets.push_back(fmt::format("tablet:{}", uid_of(source)));
    source_shards.push_back(fmt::format("shard:{};tablet:{}", name, uid_of(source)));
  }
  Lines target_tablets;
  Lines target_shards;
  Lines frozen;
  for (const auto& [name, target] : streams.targets) {
    const uint32_t uid = uid_of(target.shard);
    target_tablets.push_back(fmt::format("tablet:{}", uid));
    target_shards.push_back(fmt::format("shard:{};tablet:{}", name, uid));
    frozen.push_back(fmt::format("keyspace:{};shard:{};tablet:{};workflow:{};dbname:{}", streams.target_keyspace, name,
                                 uid, streams.name, topo::tablet_db_name(target.shard.primary)));
  }
  lock(lines, streams.source_keyspace, streams.target_keyspace);
  describe_mirrors(facts, {::topodata::PRIMARY}, lines);
  lines.push_back(
      fmt::format("Stop writes on keyspace {} for tables {}: {}", streams.source_keyspace, tables, bracketed(stopped)));
  lines.push_back(fmt::format("Wait for vreplication on stopped streams to catchup for up to {}s",
                              std::chrono::duration_cast<std::chrono::seconds>(facts.timeout).count()));
  if (!facts.tenant) lines.push_back("Create reverse vreplication workflow " + streams.reverse_name());
  if (!facts.sequences.empty()) {
    lines.push_back("The following sequence backing tables used by tables being moved will be initialized:");
    for (const auto& one : facts.sequences) lines.push_back("\t" + one);
  }
  lines.push_back("Create journal entries on source databases");
  if (!facts.tenant)
    lines.push_back(fmt::format("Enable writes on keyspace {} for tables {}", streams.target_keyspace, tables));
  lines.push_back(
      fmt::format("Switch routing from keyspace {} to keyspace {}", streams.source_keyspace, streams.target_keyspace));
  if (streams.is_partial) {
    lines.push_back(fmt::format("Shard routing rules for shards {} will be updated", shards_of(streams, false)));
  } else if (facts.tenant) {
    lines.push_back(fmt::format("Keyspace routing rules for keyspace {} will be updated", streams.source_keyspace));
  } else if (streams.is_reshard) {
    lines.push_back("IsPrimaryServing will be set to false for: " + bracketed(source_shards));
    lines.push_back("IsPrimaryServing will be set to true for: " + bracketed(target_shards));
  } else {
    lines.push_back(fmt::format("Routing rules for tables {} will be updated", tables));
  }
  lines.push_back("Switch writes completed, freeze and delete vreplication streams on: " + bracketed(target_tablets));
  if (facts.reverse_replication) {
    lines.push_back("Start reverse vreplication streams on: " + bracketed(source_tablets));
  }
  lines.push_back("Mark vreplication streams frozen on: " + bracketed(frozen));
  unlock(lines, streams.source_keyspace, streams.target_keyspace);
}

// "keyspace:customer;shard:0;workflow:w;dbname:vt_customer;tablet:200" for each of a side's shards.
std::string streams_of(const Side& side, const std::string& workflow) {
  Lines out;
  for (const auto& place : side.places) {
    const auto primary = place.primary.value_or(::topodata::Tablet());
    out.push_back(fmt::format("keyspace:{};shard:{};workflow:{};dbname:{};tablet:{}", side.keyspace, place.shard,
                              workflow, topo::tablet_db_name(primary), primary.alias().uid()));
  }
  return bracketed(out);
}

}  // namespace

std::vector<std::string> describe_switch(const DryRun& facts) {
  Lines lines;
  if (facts.move_reads) describe_reads(facts, lines);
  if (facts.writes) describe_writes(facts, lines);
  return lines;
}

std::vector<std::string> describe_complete(const engine::Record& record, const Side& source, const Side& target,
                                           const CompleteDryRun& wanted) {
  const bool reshard = record.kind() == "Reshard";
  const Lines tables(record.tables().begin(), record.tables().end());
  Lines gone;
  Lines denied;
  for (const auto& place : source.places) {
    const auto primary = place.primary.value_or(::topodata::Tablet());
    const uint32_t uid = primary.alias().uid();
    denied.push_back(fmt::format("keyspace:{};shard:{};tablet:{}", source.keyspace, place.shard, uid));
    if (reshard) {
      gone.push_back(fmt::format("cell:{};keyspace:{};shard:{}", primary.alias().cell(), source.keyspace, place.shard));
      continue;
    }
    for (const auto& table : tables) {
      gone.push_back(fmt::format("keyspace:{};shard:{};dbname:{};tablet:{};table:{}", source.keyspace, place.shard,
                                 topo::tablet_db_name(primary), uid, table));
    }
  }
  Lines lines;
  lock(lines, source.keyspace, target.keyspace);
  if (!wanted.keep_data && !wanted.ignore_source) {
    lines.push_back(reshard ? "Delete shards (and all related tablets): " + bracketed(gone)
                            : fmt::format("{} these tables from the database and removing them from the vschema for "
                                          "keyspace {}: {}",
                                          wanted.rename_tables ? "Renaming" : "Dropping", source.keyspace,
                                          bracketed(gone)));
  }
  if (!reshard && !wanted.ignore_source) {
    lines.push_back(
        fmt::format("Denied tables records on {} will be removed from: {}", bracketed(tables), bracketed(denied)));
  }
  if (!wanted.ignore_source) {
    lines.push_back("Delete reverse vreplication streams on sources: " +
                    streams_of(source, reverse_workflow_name(record.workflow())));
  }
  lines.push_back("Delete vreplication streams on targets: " + streams_of(target, record.workflow()));
  if (!reshard && !wanted.keep_routing_rules && wanted.last) {
    lines.push_back(is_tenant(record) ? "Keyspace routing rules will be deleted"
                                      : "Routing rules for participating tables will be deleted");
    if (is_partial(record)) lines.push_back("Shard routing rules for participating shards will be deleted");
  }
  unlock(lines, source.keyspace, target.keyspace);
  return lines;
}

}  // namespace vitrail::control
