#include "vschema/alter.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/text.h"
#include "sql/parser.h"
#include "vschema/vschema.h"

namespace vitrail::vschema {
namespace {

using sql::AlterVschema;
using Action = sql::VschemaAction;

template <typename... Args>
Error exists(fmt::format_string<Args...> format, Args&&... args) {
  return fail(Code::kFailedPrecondition, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
Error missing(fmt::format_string<Args...> format, Args&&... args) {
  return fail(Code::kNotFound, fmt::format(format, std::forward<Args>(args)...));
}

// 'a,b', "a", `a` and a alike.
std::string unquoted(std::string_view text) {
  text = base::trim(text);
  if (text.size() < 2 || text.front() != text.back()) return std::string(text);
  const char quote = text.front();
  if (quote != '\'' && quote != '"' && quote != '`') return std::string(text);
  std::string out;
  for (size_t i = 1; i + 1 < text.size(); ++i) {
    if (text[i] == quote && i + 2 < text.size() && text[i + 1] == quote) ++i;  // A doubled quote.
    out += text[i];
  }
  return out;
}

// What USING and WITH say.
::vschema::Vindex vindex_of(const AlterVschema& statement) {
  ::vschema::Vindex out;
  out.set_type(std::string(statement.vindex_type.text));
  for (const auto& parameter : statement.parameters) {
    if (base::equals_ignoring_case(parameter.name.text, "owner")) {
      out.set_owner(unquoted(parameter.value));
    } else {
      (*out.mutable_params())[std::string(parameter.name.text)] = unquoted(parameter.value);
    }
  }
  return out;
}

using Parameters = std::map<std::string, std::string>;
Parameters parameters_of(const ::vschema::Vindex& vindex) { return {vindex.params().begin(), vindex.params().end()}; }

// One statement, on a copy of the record.
class Change {
 public:
  Change(::vschema::Keyspace& record, std::string_view keyspace, const AlterVschema& statement)
      : record_(record),
        keyspace_(keyspace),
        statement_(statement),
        table_(statement.table.name.text),
        vindex_(statement.vindex.name.text) {}

  Status apply() {
    switch (statement_.action) {
      case Action::kCreateVindex: return create_vindex();
      case Action::kDropVindex: return drop_vindex();
      case Action::kAddTable: return add_table();
      case Action::kDropTable: return drop_table();
      case Action::kAddVindex: return add_table_vindex();
      case Action::kDropTableVindex: return drop_table_vindex();
      case Action::kAddSequence: return add_sequence();
      case Action::kDropSequence: return drop_sequence();
      case Action::kAddAutoIncrement: return add_auto_increment();
      case Action::kDropAutoIncrement: return drop_auto_increment();
    }
    return {};
  }

 private:
  Status create_vindex() {
    if (record_.vindexes().contains(vindex_)) {
      return exists("vindex {} already exists in keyspace {}", vindex_, keyspace_);
    }
    if (statement_.vindex_type.empty()) return fail(Code::kInvalidArgument, "the vindex's type is missing: USING type");
    record_.set_sharded(true);
    (*record_.mutable_vindexes())[vindex_] = vindex_of(statement_);
    return {};
  }

  Status drop_vindex() {
    if (!record_.vindexes().contains(vindex_)) {
      return missing("vindex {} does not exist in keyspace {}", vindex_, keyspace_);
    }
    for (const auto& [name, table] : record_.tables()) {
      if (uses_vindex(table)) {
        return exists("can not drop vindex {}: it is still defined on table {}", vindex_, name);
      }
    }
    record_.mutable_vindexes()->erase(vindex_);
    return {};
  }

  Status need_unsharded(std::string_view what) const {
    if (!record_.sharded()) return {};
    return exists("{}: unsupported on sharded keyspace {}", what, keyspace_);
  }

  Status add_table() {
    RETURN_IF_ERROR(need_unsharded("add vschema table"));
    if (record_.tables().contains(table_)) {
      return exists("vschema already contains table {} in keyspace {}", table_, keyspace_);
    }
    (*record_.mutable_tables())[table_];
    return {};
  }

  Error no_table() const { return missing("vschema does not contain table {} in keyspace {}", table_, keyspace_); }

  Status drop_table() {
    if (record_.mutable_tables()->erase(table_) == 0) return no_table();
    return {};
  }

  Status add_sequence() {
    RETURN_IF_ERROR(need_unsharded("add sequence table"));
    if (record_.tables().contains(table_)) {
      return exists("vschema already contains sequence {} in keyspace {}", table_, keyspace_);
    }
    (*record_.mutable_tables())[table_].set_type("sequence");
    return {};
  }

  Status drop_sequence() {
    RETURN_IF_ERROR(need_unsharded("drop sequence table"));
    const auto found = record_.tables().find(table_);
    if (found == record_.tables().end() || found->second.type() != "sequence") {
      return missing("vschema does not contain sequence {} in keyspace {}", table_, keyspace_);
    }
    record_.mutable_tables()->erase(table_);
    return {};
  }

  bool uses_vindex(const ::vschema::Table& table) const {
    return std::ranges::any_of(table.column_vindexes(), [&](const auto& use) { return use.name() == vindex_; });
  }

  // A vindex that exists may be described again, but not differently.
  Status check_same(const ::vschema::Vindex& known) const {
    if (statement_.vindex_type.empty()) return {};
    const ::vschema::Vindex said = vindex_of(statement_);
    if (known.type() != said.type()) {
      return exists("vindex {} defined with type {} not {}", vindex_, known.type(), said.type());
    }
    if (!statement_.parameters.empty() && known.owner() != said.owner()) {
      return exists("vindex {} defined with owner {} not {}", vindex_, known.owner(), said.owner());
    }
    if (!statement_.parameters.empty() && parameters_of(known) != parameters_of(said)) {
      return exists("vindex {} defined with different parameters", vindex_);
    }
    return {};
  }

  Status add_table_vindex() {
    const auto known = record_.vindexes().find(vindex_);
    if (known != record_.vindexes().end()) {
      RETURN_IF_ERROR(check_same(known->second));
    } else {
      if (statement_.vindex_type.empty()) {
        return missing("vindex {} does not exist in keyspace {}: create it first, or say USING type", vindex_,
                       keyspace_);
      }
      RETURN_IF_ERROR(create_vindex());
    }
    record_.set_sharded(true);
    auto& table = (*record_.mutable_tables())[table_];
    if (uses_vindex(table)) {
      return exists("vindex {} already defined on table {}", vindex_, table_);
    }
    auto& use = *table.add_column_vindexes();
    use.set_name(vindex_);
    for (const sql::Column* column : statement_.columns) use.add_columns(std::string(column->name.text));
    return {};
  }

  Status drop_table_vindex() {
    const auto found = record_.mutable_tables()->find(table_);
    if (found == record_.mutable_tables()->end()) return no_table();
    auto& uses = *found->second.mutable_column_vindexes();
    const auto use = std::ranges::find(uses, vindex_, &::vschema::ColumnVindex::name);
    if (use == uses.end()) return missing("vindex {} not defined in table {}.{}", vindex_, keyspace_, table_);
    uses.erase(use);
    // A sharded table without vindexes is none.
    if (uses.empty()) record_.mutable_tables()->erase(table_);
    return {};
  }

  Status add_auto_increment() {
    const auto found = record_.mutable_tables()->find(table_);
    if (found == record_.mutable_tables()->end()) return no_table();
    if (found->second.has_auto_increment()) {
      return exists("vschema already contains auto inc {} on table {} in keyspace {}",
                    found->second.auto_increment().column(), table_, keyspace_);
    }
    auto& increment = *found->second.mutable_auto_increment();
    increment.set_column(std::string(statement_.columns.front()->name.text));
    std::string sequence(statement_.sequence.name.text);
    if (!statement_.sequence.qualifier.empty()) {
      sequence = std::string(statement_.sequence.qualifier.text) + "." + sequence;
    }
    increment.set_sequence(std::move(sequence));
    return {};
  }

  Status drop_auto_increment() {
    const auto found = record_.mutable_tables()->find(table_);
    if (found == record_.mutable_tables()->end()) return no_table();
    if (!found->second.has_auto_increment()) {
      return missing("vschema does not contain auto increment on table {} in keyspace {}", table_, keyspace_);
    }
    found->second.clear_auto_increment();
    return {};
  }

  ::vschema::Keyspace& record_;
  const std::string keyspace_;
  const AlterVschema& statement_;
  const std::string table_;
  const std::string vindex_;
};

std::string_view quoted_part(std::string_view text) { return text.substr(0, 200); }

}  // namespace

std::string_view keyspace_of(const AlterVschema& statement, std::string_view fallback) {
  for (const sql::TableName* name : {&statement.table, &statement.vindex}) {
    if (!name->qualifier.empty()) return name->qualifier.text;
  }
  return fallback;
}

Status apply_statement(::vschema::Keyspace& record, std::string_view keyspace, const AlterVschema& statement) {
  ::vschema::Keyspace changed = record;
  RETURN_IF_ERROR(Change(changed, keyspace, statement).apply());
  const auto before = find_problems(keyspace, record);
  std::string faults;
  for (const auto& problem : find_problems(keyspace, changed)) {
    if (std::ranges::find(before, problem) == before.end()) faults += "\n  " + problem;
  }
  if (!faults.empty()) {
    return fail(Code::kInvalidArgument, fmt::format("the vschema of {} would not be valid:{}", keyspace, faults));
  }
  record = std::move(changed);
  return {};
}

Status apply_statements(::vschema::Keyspace& record, std::string_view keyspace, std::string_view text) {
  ASSIGN_OR_RETURN(const auto spans, sql::split_statements(text));
  ::vschema::Keyspace changed = record;
  size_t count = 0;
  for (const sql::Span& span : spans) {
    const std::string_view part = span.of(text);
    const auto in_context = [&](Error error) {
      return std::move(error).with_context(fmt::format("\"{}\"", quoted_part(part)));
    };
    auto ast = sql::parse(part);
    if (!ast.ok()) return in_context(std::move(ast).error());
    if (ast->kind() == sql::StatementKind::kEmpty) continue;
    const auto* alter = sql::statement_as<AlterVschema>(&ast->statement());
    if (alter == nullptr) return in_context(fail(Code::kInvalidArgument, "this is no ALTER VSCHEMA statement"));
    if (const std::string_view named = keyspace_of(*alter, keyspace); named != keyspace) {
      return in_context(fail(Code::kInvalidArgument,
                             fmt::format("the statement is about keyspace {}, the command about {}", named, keyspace)));
    }
    if (Status applied = apply_statement(changed, keyspace, *alter); !applied.ok()) {
      return in_context(std::move(applied).error());
    }
    ++count;
  }
  if (count == 0) return fail(Code::kInvalidArgument, "no statement was given");
  record = std::move(changed);
  return {};
}

}  // namespace vitrail::vschema
