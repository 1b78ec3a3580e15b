// Reading one keyspace's vschema record, and what can be wrong with it.

#include <algorithm>
#include <set>

#include <fmt/core.h>

#include "base/text.h"
#include "shard/lookup_placement.h"
#include "vschema/vschema.h"

namespace vitrail::vschema {

namespace {

using TableRecord = ::vschema::Table;

// Begins the problems of tables that are right, and use what this version has not.
constexpr std::string_view kNotOffered = "VT12001: unsupported:";

shard::VindexParameters parameters_of(const ::vschema::Vindex& record) {
  return {record.params().begin(), record.params().end()};
}

// "ks.t" -> {"ks", "t"}; "t" -> {"", "t"}. Backquotes are dropped.
std::pair<std::string, std::string> split_name(std::string_view name) {
  std::string plain(name);
  std::erase(plain, '`');
  const size_t dot = plain.find('.');
  if (dot == std::string::npos) return {"", std::move(plain)};
  return {plain.substr(0, dot), plain.substr(dot + 1)};
}

class TableReader {
 public:
  // `owners`: by vindex, the table that owns it.
  TableReader(const Keyspace& keyspace, const std::map<std::string, std::string>& owners, const std::string& name,
              const TableRecord& record)
      : keyspace_(keyspace), owners_(owners), record_(record), table_(std::make_shared<Table>()) {
    table_->keyspace = keyspace.name;
    table_->name = name;
    table_->sharded = keyspace.sharded;
    table_->listed = true;
  }

  // Fills table() and returns what is wrong first, or nothing.
  std::string read() {
    std::string problem = read_type();
    if (problem.empty()) problem = read_columns();
    if (problem.empty()) problem = read_auto_increment();
    if (problem.empty() && keyspace_.sharded) problem = read_placement();
    return problem;
  }

  std::shared_ptr<Table> table() { return table_; }

 private:
  const std::string& name() const { return table_->name; }

  std::string read_type() {
    if (record_.type() == "sequence") {
      table_->type = TableType::kSequence;
    } else if (record_.type() == "reference") {
      table_->type = TableType::kReference;
      std::tie(table_->source_keyspace, table_->source_table) = split_name(record_.source());
      return "";
    } else if (!record_.type().empty()) {
      return fmt::format("unknown type \"{}\" of table {}: expected sequence or reference", record_.type(), name());
    }
    if (!record_.source().empty()) return fmt::format("source is only for reference tables, not for table: {}", name());
    return "";
  }

  std::string read_columns() {
    std::set<std::string> seen;
    for (const ::vschema::Column& column : record_.columns()) {
      if (column.name().empty()) return fmt::format("a column without a name in table: {}", name());
      if (!seen.insert(base::to_lower(column.name())).second) {
        return fmt::format("duplicate column name '{}' for table: {}", column.name(), name());
      }
      table_->columns.push_back(column);
    }
    table_->column_list_authoritative = record_.column_list_authoritative();
    return "";
  }

  std::string read_auto_increment() {
    if (!record_.has_auto_increment()) return "";
    AutoIncrement out;
    out.column = record_.auto_increment().column();
    std::tie(out.sequence_keyspace, out.sequence_table) = split_name(record_.auto_increment().sequence());
    if (out.column.empty()) return fmt::format("auto_increment names no column in table: {}", name());
    if (out.sequence_table.empty()) return fmt::format("auto_increment names no sequence in table: {}", name());
    if (!may_have_column(out.column)) return missing_column(out.column, "auto_increment");
    table_->auto_increment = std::move(out);
    return "";
  }

  std::string read_placement() {
    if (!record_.pinned().empty()) {
      auto id = shard::KeyspaceId::from_hex(record_.pinned());
      if (!id)
        return fmt::format("could not decode the keyspace id for pin of table {}: {}", name(), id.error().message());
      table_->pinned = std::move(*id);
      return "";
    }
    if (table_->type == TableType::kSequence) {
      return fmt::format("sequence table has to be in an unsharded keyspace or must be pinned: {}", name());
    }
    if (table_->type == TableType::kReference) return "";
    if (record_.column_vindexes().empty()) return fmt::format("missing primary col vindex for table: {}", name());
    for (const ::vschema::ColumnVindex& use : record_.column_vindexes()) {
      if (std::string problem = read_column_vindex(use); !problem.empty()) return problem;
      if (!table_->lookups.empty() && table_->column_vindexes.empty()) {
        if (std::string problem = read_placing_lookup(table_->lookups.front()); !problem.empty()) return problem;
      }
    }
    const ColumnVindex& primary = table_->column_vindexes.front();
    if (!primary.vindex->is_unique())
      return fmt::format("primary vindex {} is not Unique for table {}", primary.name, name());
    return "";
  }

  // The rows are where the lookup's table says, which the changes of another table maintain.
  std::string read_placing_lookup(const LookupUse& use) {
    const shard::Lookup& lookup = *use.lookup;
    const auto refuse = [&](std::string_view why) {
      return fmt::format("{} vindex {} of type {} as the primary vindex of table {}: {}", kNotOffered, lookup.name,
                         lookup.type, name(), why);
    };
    if (!use.problem.empty()) return refuse(use.problem);
    if (!lookup.unique) return fmt::format("primary vindex {} is not Unique for table {}", lookup.name, name());
    if (use.is_owned) return refuse("it has the places of the table's own rows, and so gives them none");
    if (lookup.write_only) return refuse("it is write_only");
    table_->column_vindexes.push_back(
        {.name = lookup.name, .vindex = shard::create_placement(use.lookup), .columns = use.columns});
    return "";
  }

  std::string read_column_vindex(const ::vschema::ColumnVindex& use) {
    if (const auto wrong = keyspace_.vindex_problems.find(use.name()); wrong != keyspace_.vindex_problems.end()) {
      return fmt::format("table {} uses vindex {}: {}", name(), use.name(), wrong->second);
    }
    const auto lookup = keyspace_.lookup_vindexes.find(use.name());
    const auto vindex = keyspace_.vindexes.find(use.name());
    if (vindex == keyspace_.vindexes.end() && lookup == keyspace_.lookup_vindexes.end())
      return fmt::format("vindex {} not found for table {}", use.name(), name());
    ColumnVindex out{.name = use.name()};
    if (!use.column().empty() && use.columns_size() > 0) {
      return fmt::format("can't use column and columns at the same time in vindex ({}) and table ({})", use.name(),
                         name());
    }
    if (!use.column().empty()) out.columns.push_back(use.column());
    out.columns.insert(out.columns.end(), use.columns().begin(), use.columns().end());
    if (out.columns.empty()) {
      return fmt::format("must specify at least one column for vindex ({}) and table ({})", use.name(), name());
    }
    std::set<std::string> seen;
    for (const std::string& column : out.columns) {
      if (column.empty()) return fmt::format("empty column name for vindex ({}) and table ({})", use.name(), name());
      if (!seen.insert(base::to_lower(column)).second) {
        return fmt::format("column {} is used twice by vindex {} of table {}", column, use.name(), name());
      }
      if (!may_have_column(column)) return missing_column(column, "vindex " + use.name());
    }
    const auto owner = owners_.find(use.name());
    const bool is_owned = owner != owners_.end() && owner->second == name();
    if (lookup != keyspace_.lookup_vindexes.end()) {
      table_->lookups.push_back({lookup->second, std::move(out.columns), is_owned, lookup->second->problem});
      LookupUse& made = table_->lookups.back();
      if (made.problem.empty() && made.columns.size() != made.lookup->from.size()) {
        made.problem = fmt::format(
            "VT03030: lookup column count does not match value count with the row (columns, "
            "count): ({}, {})",
            base::join(made.lookup->from, ", "), made.columns.size());
      }
      return "";
    }
    out.vindex = vindex->second;
    // A function of one value takes the first column; further ones would be for the table of a lookup.
    if (out.vindex->max_columns() == 1) out.columns.resize(1);
    if (out.columns.size() != static_cast<size_t>(out.vindex->max_columns())) {
      return fmt::format("vindex {} of type {} takes {} columns, table {} gives {}", use.name(), out.vindex->type(),
                         out.vindex->max_columns(), name(), out.columns.size());
    }
    table_->column_vindexes.push_back(std::move(out));
    return "";
  }

  // Only an authoritative list says which columns there are not.
  bool may_have_column(std::string_view column) const {
    return !table_->column_list_authoritative ||
           std::any_of(table_->columns.begin(), table_->columns.end(),
                       [&](const auto& c) { return base::equals_ignoring_case(c.name(), column); });
  }

  std::string missing_column(std::string_view column, std::string_view user) const {
    return fmt::format("column {} of {} is not in the authoritative column list of table {}", column, user, name());
  }

  const Keyspace& keyspace_;
  const std::map<std::string, std::string>& owners_;
  const TableRecord& record_;
  std::shared_ptr<Table> table_;
};

}  // namespace

Keyspace read_keyspace(std::string_view name, const ::vschema::Keyspace& record) {
  Keyspace out;
  out.name = name;
  out.sharded = record.sharded();
  out.require_explicit_routing = record.require_explicit_routing();
  out.foreign_key_mode = record.foreign_key_mode();
  std::map<std::string, std::string> owners;
  for (const auto& [vindex_name, vindex] : record.vindexes()) {
    if (shard::is_lookup_type(vindex.type())) {
      auto lookup = shard::create_lookup(vindex.type(), vindex_name, parameters_of(vindex));
      if (lookup) {
        out.lookup_vindexes.emplace(vindex_name, std::move(*lookup));
        if (!vindex.owner().empty()) owners.emplace(vindex_name, vindex.owner());
      } else {
        out.vindex_problems.emplace(vindex_name, lookup.error().message());
      }
      continue;
    }
    auto made = shard::create_vindex(vindex.type(), vindex_name, parameters_of(vindex));
    if (made) {
      out.vindexes.emplace(vindex_name, std::move(*made));
    } else {
      out.vindex_problems.emplace(vindex_name, made.error().message());
    }
  }
  for (const auto& [table_name, table] : record.tables()) {
    TableReader reader(out, owners, table_name, table);
    std::string problem = reader.read();
    out.tables.emplace(table_name, reader.table());
    if (!problem.empty()) out.table_problems.emplace(table_name, std::move(problem));
  }
  return out;
}

std::vector<std::string> find_problems(std::string_view name, const ::vschema::Keyspace& record) {
  const Keyspace keyspace = read_keyspace(name, record);
  std::vector<std::string> out;
  for (const auto& [vindex, problem] : keyspace.vindex_problems)
    out.push_back(fmt::format("vindex {}: {}", vindex, problem));
  for (const auto& [table, problem] : keyspace.table_problems) {
    if (!problem.starts_with(kNotOffered)) out.push_back(problem);
  }
  return out;
}

std::vector<std::string> find_warnings(std::string_view name, const ::vschema::Keyspace& record) {
  const Keyspace keyspace = read_keyspace(name, record);
  std::vector<std::string> out;
  for (const auto& [table, problem] : keyspace.table_problems) {
    if (problem.starts_with(kNotOffered)) {
      out.push_back(fmt::format("{}; every statement on the table is refused", problem.substr(kNotOffered.size() + 1)));
    }
  }
  for (const auto& [table_name, table] : keyspace.tables) {
    for (const LookupUse& use : table->lookups) {
      if (use.problem.empty()) continue;
      out.push_back(fmt::format("vindex {} of type {} of table {}: {}; INSERT, REPLACE{} and UPDATE of {} are refused",
                                use.lookup->name, use.lookup->type, table_name, use.problem,
                                use.is_owned ? ", DELETE" : "", base::join(use.columns, ", ")));
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<std::string> unknown_vindex_parameters(std::string_view name, const ::vschema::Keyspace& record) {
  std::vector<std::string> out;
  const Keyspace keyspace = read_keyspace(name, record);
  for (const auto& [vindex_name, vindex] : keyspace.vindexes) {
    for (const std::string& parameter : vindex->unknown_parameters()) out.push_back(vindex_name + "." + parameter);
  }
  for (const auto& [vindex_name, lookup] : keyspace.lookup_vindexes) {
    for (const std::string& parameter : lookup->unknown_parameters) out.push_back(vindex_name + "." + parameter);
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace vitrail::vschema
