#include "sql/tables.h"

#include <algorithm>

#include "sql/walk.h"

namespace vitrail::sql {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

// The base tables that stand directly in a FROM clause (through joins and lists, not through subqueries).
void add_leaves(const TableRef& table, std::vector<const TableSource*>& out) {
  switch (table.kind) {
    case TableRefKind::kTable: out.push_back(static_cast<const TableSource*>(&table)); return;
    case TableRefKind::kJoin:
      add_leaves(*static_cast<const Join&>(table).left, out);
      add_leaves(*static_cast<const Join&>(table).right, out);
      return;
    case TableRefKind::kList:
      for (const TableRef* item : static_cast<const TableList&>(table).items) add_leaves(*item, out);
      return;
    case TableRefKind::kDerived:
    case TableRefKind::kJsonTable: return;
  }
}

std::vector<const TableSource*> leaves(List<TableRef*> tables) {
  std::vector<const TableSource*> out;
  for (const TableRef* table : tables) add_leaves(*table, out);
  return out;
}

// Whether `qualifier.name` in a column or target means this table.
bool denotes(const TableSource& table, std::string_view qualifier, std::string_view name) {
  if (!table.alias.empty()) return qualifier.empty() && same_name(table.alias.text, name);
  if (!same_name(table.name.name.text, name)) return false;
  return qualifier.empty() || table.name.qualifier.empty() || same_name(table.name.qualifier.text, qualifier);
}

class Collector : public Walker {
 public:
  std::vector<TableUse> take() { return std::move(uses_); }

 protected:
  bool enter(const Statement& statement) override {
    const size_t scope = common_.size();
    collect(statement);
    common_.resize(scope);
    return false;
  }

  bool enter(const Query& query) override {
    const size_t scope = common_.size();
    if (query.kind == QueryKind::kSelect) {
      const auto& select = static_cast<const Select&>(query);
      if (select.next_values != nullptr) {
        for (const TableSource* table : leaves(select.from)) written_.push_back(table);
      }
    }
    if (query.kind == QueryKind::kTable) {
      if (query.with != nullptr) {
        with(*query.with);
      }
      add(static_cast<const TableQuery&>(query).name, TableAccess::kRead);
    } else {
      walk_children(query);
    }
    common_.resize(scope);
    return false;
  }

  bool enter(const TableRef& table) override {
    if (table.kind == TableRefKind::kTable) {
      const auto& source = static_cast<const TableSource&>(table);
      const bool written = std::find(written_.begin(), written_.end(), &source) != written_.end();
      add(source.name, written ? TableAccess::kWrite : TableAccess::kRead);
    }
    return true;
  }

  bool enter(const Expr& expr) override {
    if (const auto* next = as<NextValue>(&expr); next != nullptr) {
      add(next->sequence, next->previous ? TableAccess::kRead : TableAccess::kWrite);
    }
    if (const auto* call = as<FunctionCall>(&expr); call != nullptr && call->schema.empty() && !call->args.empty()) {
      const auto* sequence = as<Column>(call->args[0]);
      const bool advances = same_name(call->name.text, "nextval") || same_name(call->name.text, "setval");
      if (sequence != nullptr && (advances || same_name(call->name.text, "lastval"))) {
        add({sequence->table, sequence->name, sequence->span}, advances ? TableAccess::kWrite : TableAccess::kRead);
      }
    }
    return true;
  }

  // Each common table sees those before it; with RECURSIVE all of them, itself included.
  void with(const With& with) override {
    if (with.recursive) {
      for (const CommonTable& table : with.tables) common_.push_back(table.name.text);
    }
    for (const CommonTable& table : with.tables) {
      walk(*table.query);
      if (!with.recursive) common_.push_back(table.name.text);
    }
  }

 private:
  void add(const TableName& name, TableAccess access) {
    if (name.name.empty()) return;
    if (name.qualifier.empty()) {
      if (!name.name.quoted && same_name(name.name.text, "dual")) return;
      for (std::string_view common : common_) {
        if (same_name(common, name.name.text)) return;
      }
    }
    uses_.push_back({name.qualifier.text, name.name.text, name.span, name.qualifier.span, name.name.span, access});
  }

  void add_all(List<TableName> names, TableAccess access) {
    for (const TableName& name : names) add(name, access);
  }

  void collect(const Statement& statement) {
    switch (statement.kind) {
      case StatementKind::kInsert:
      case StatementKind::kReplace:
        add(static_cast<const Insert&>(statement).table, TableAccess::kWrite);
        return walk_children(statement);
      case StatementKind::kUpdate: return collect_update(static_cast<const Update&>(statement));
      case StatementKind::kDelete: return collect_delete(static_cast<const Delete&>(statement));
      case StatementKind::kDdl: return collect_ddl(static_cast<const Ddl&>(statement));
      case StatementKind::kLoad: return add(static_cast<const LoadData&>(statement).table, TableAccess::kWrite);
      case StatementKind::kLockTables:
        for (const LockedTable& table : static_cast<const LockTables&>(statement).tables) {
          const bool read = table.lock == TableLock::kRead || table.lock == TableLock::kReadLocal;
          add(table.table, read ? TableAccess::kRead : TableAccess::kWrite);
        }
        return;
      case StatementKind::kFlush: return add_all(static_cast<const Flush&>(statement).tables, TableAccess::kRead);
      case StatementKind::kTableAdmin: {
        const auto& admin = static_cast<const TableAdmin&>(statement);
        const bool writes = admin.verb == AdminVerb::kOptimize || admin.verb == AdminVerb::kRepair;
        return add_all(admin.tables, writes ? TableAccess::kWrite : TableAccess::kRead);
      }
      case StatementKind::kShow: {
        const auto& show = static_cast<const Show&>(statement);
        switch (show.show) {
          case ShowKind::kColumns:
          case ShowKind::kIndex:
          case ShowKind::kCreateTable:
          case ShowKind::kCreateView: {
            TableName name = show.table;
            if (!show.database.empty()) name.qualifier = show.database;
            add(name, TableAccess::kRead);
            break;
          }
          default: break;
        }
        return walk_children(statement);
      }
      case StatementKind::kExplain:
      case StatementKind::kVexplain:
        add(static_cast<const Explain&>(statement).table, TableAccess::kRead);
        return walk_children(statement);
      case StatementKind::kStream:  // Each message that is sent is noted in its row.
        add(static_cast<const StreamStatement&>(statement).table, TableAccess::kWrite);
        return walk_children(statement);
      case StatementKind::kVstream:
        add(static_cast<const StreamStatement&>(statement).table, TableAccess::kRead);
        return walk_children(statement);
      default: return walk_children(statement);
    }
  }

  void collect_update(const Update& update) {
    const std::vector<const TableSource*> tables = leaves(update.tables);
    for (const TableSource* table : tables) {
      bool written = false;
      for (const Assignment& item : update.set) {
        written |= item.column->table.empty() || denotes(*table, item.column->schema.text, item.column->table.text);
      }
      if (written) written_.push_back(table);
    }
    walk_children(update);
  }

  void collect_delete(const Delete& statement) {
    if (statement.targets.empty()) {
      for (const TableSource* table : leaves(statement.from)) written_.push_back(table);
    }
    for (const TableName& target : statement.targets) {
      for (const TableSource* table : delete_target_tables(statement, target)) written_.push_back(table);
      if (!is_alias_target(statement, target)) add(target, TableAccess::kWrite);
    }
    walk_children(statement);
  }

  void collect_ddl(const Ddl& ddl) {
    for (const DdlName& name : ddl.names) {
      switch (ddl.object) {
        case DdlObject::kTable:
        case DdlObject::kView:
        case DdlObject::kIndex:
        case DdlObject::kSequence:
          add(name.name, name.role == NameRole::kReferenced ? TableAccess::kRead : TableAccess::kWrite);
          break;
        case DdlObject::kTrigger:  // The table that gets the trigger.
          if (name.role == NameRole::kReferenced) add(name.name, TableAccess::kWrite);
          break;
        default: break;
      }
    }
    walk_children(ddl);
  }

  std::vector<TableUse> uses_;
  std::vector<std::string_view> common_;  // Names of common tables in scope.
  std::vector<const TableSource*> written_;
};

}  // namespace

std::vector<TableUse> collect_tables(const Statement& statement) {
  Collector collector;
  collector.walk(statement);
  return collector.take();
}

std::vector<TableUse> collect_tables(const Query& query) {
  Collector collector;
  collector.walk(query);
  return collector.take();
}

std::vector<const TableSource*> delete_target_tables(const Delete& statement, const TableName& target) {
  std::vector<const TableSource*> out;
  for (const TableSource* table : leaves(statement.from)) {
    if (denotes(*table, target.qualifier.text, target.name.text)) out.push_back(table);
  }
  return out;
}

bool is_alias_target(const Delete& statement, const TableName& target) {
  if (!target.qualifier.empty()) return false;
  for (const TableSource* table : delete_target_tables(statement, target)) {
    if (!table->alias.empty()) return true;
  }
  return false;
}

}  // namespace vitrail::sql
