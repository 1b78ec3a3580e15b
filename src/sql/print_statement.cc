#include "sql/printer_impl.h"
#include "sql/tables.h"

namespace vitrail::sql {

void Printer::statement(const Statement& node) {
  if (!node.directives.empty()) directives_ = node.directives;
  switch (node.kind) {
    case StatementKind::kEmpty:
    case StatementKind::kUnknown: return;
    case StatementKind::kSelect: return query(*static_cast<const QueryStatement&>(node).query);
    case StatementKind::kInsert:
    case StatementKind::kReplace: return insert(static_cast<const Insert&>(node));
    case StatementKind::kUpdate: return update(static_cast<const Update&>(node));
    case StatementKind::kDelete: return remove(static_cast<const Delete&>(node));
    case StatementKind::kSet: return set(static_cast<const SetStatement&>(node));
    case StatementKind::kShow: return show(static_cast<const Show&>(node));
    case StatementKind::kUse:
      verb("use");
      if (!static_cast<const Use&>(node).target.empty()) {
        add(' ');
        identifier(static_cast<const Use&>(node).target);
      }
      return;
    case StatementKind::kBegin:
    case StatementKind::kCommit:
    case StatementKind::kRollback:
    case StatementKind::kSavepoint:
    case StatementKind::kRollbackTo:
    case StatementKind::kRelease: return transaction(static_cast<const Transaction&>(node));
    case StatementKind::kDdl: return ddl(static_cast<const Ddl&>(node));
    case StatementKind::kLockTables:
    case StatementKind::kUnlockTables: return lock_tables(static_cast<const LockTables&>(node));
    case StatementKind::kExplain:
    case StatementKind::kVexplain: return explain(static_cast<const Explain&>(node));
    case StatementKind::kKill: return kill(static_cast<const Kill&>(node));
    case StatementKind::kCall: return call(static_cast<const Call&>(node));
    case StatementKind::kPrepare:
    case StatementKind::kExecute:
    case StatementKind::kDeallocate: return prepared(static_cast<const PreparedStatement&>(node));
    case StatementKind::kFlush: return flush(static_cast<const Flush&>(node));
    case StatementKind::kTableAdmin: return table_admin(static_cast<const TableAdmin&>(node));
    case StatementKind::kLoad: return load(static_cast<const LoadData&>(node));
    case StatementKind::kAlterVschema: return alter_vschema(static_cast<const AlterVschema&>(node));
    case StatementKind::kDo:
      verb("do");
      add(' ');
      return select_items(static_cast<const Do&>(node).items);
    case StatementKind::kStream:
    case StatementKind::kVstream: return stream(static_cast<const StreamStatement&>(node));
    case StatementKind::kVitessMigration:
    case StatementKind::kOther: return add(static_cast<const TextStatement&>(node).text);
  }
}

// ---- DML ------------------------------------------------------------------------------------------------------------

void Printer::insert(const Insert& insert) {
  if (insert.with != nullptr) {
    with(*insert.with);
    add(' ');
  }
  verb(insert.replace ? "replace" : "insert");
  hints(insert.hints);
  switch (insert.priority) {
    case Priority::kNone: break;
    case Priority::kLow: add(" low_priority"); break;
    case Priority::kDelayed: add(" delayed"); break;
    case Priority::kHigh: add(" high_priority"); break;
  }
  if (insert.ignore) add(" ignore");
  add(" into ");
  table_name(insert.table);
  if (!insert.partitions.empty()) {
    add(" partition ");
    names(insert.partitions);
  }
  if (insert.has_columns) {
    add(" (");
    for (size_t i = 0; i < insert.columns.size(); ++i) {
      if (i > 0) add(", ");
      expr(*insert.columns[i]);
    }
    add(')');
  }
  if (!insert.set.empty()) {
    add(" set ");
    assignments(insert.set);
  } else if (insert.query != nullptr) {
    add(' ');
    query(*insert.query);
  } else {
    add(" values ");
    rows(insert.rows, "");
  }
  if (!insert.row_alias.empty()) {
    alias(insert.row_alias);
    if (!insert.row_alias_columns.empty()) names(insert.row_alias_columns);
  }
  if (!insert.on_duplicate.empty()) {
    add(" on duplicate key update ");
    assignments(insert.on_duplicate);
  }
  returning(insert.returning);
}

void Printer::assignments(List<Assignment> items) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) add(", ");
    expr(*items[i].column);
    add(" = ");
    expr(*items[i].value);
  }
}

void Printer::returning(List<SelectItem> items) {
  if (items.empty()) return;
  add(" returning ");
  select_items(items);
}

void Printer::update(const Update& update) {
  if (update.with != nullptr) {
    with(*update.with);
    add(' ');
  }
  verb("update");
  hints(update.hints);
  if (update.low_priority) add(" low_priority");
  if (update.ignore) add(" ignore");
  add(' ');
  table_refs(update.tables);
  add(" set ");
  assignments(update.set);
  where(update.where, &update);
  order_items(update.order_by);
  limit(update.limit);
  returning(update.returning);
}

void Printer::remove(const Delete& node) {
  if (node.with != nullptr) {
    with(*node.with);
    add(' ');
  }
  verb("delete");
  hints(node.hints);
  if (node.low_priority) add(" low_priority");
  if (node.quick) add(" quick");
  if (node.ignore) add(" ignore");
  if (node.targets.empty()) {
    add(" from ");
  } else {
    add(node.using_form ? " from " : " ");
    for (size_t i = 0; i < node.targets.size(); ++i) {
      if (i > 0) add(", ");
      if (is_alias_target(node, node.targets[i])) {
        identifier(node.targets[i].name);
      } else {
        table_name(node.targets[i]);
      }
    }
    add(node.using_form ? " using " : " from ");
  }
  table_refs(node.from);
  where(node.where, &node);
  order_items(node.order_by);
  limit(node.limit);
  returning(node.returning);
}

// ---- Transactions, SET, SHOW ----------------------------------------------------------------------------------------

void Printer::transaction(const Transaction& node) {
  switch (node.kind) {
    case StatementKind::kBegin: {
      if (!node.consistent_snapshot && node.access == AccessMode::kNone) return verb("begin");
      verb("start");
      add(" transaction");
      std::string_view separator = " ";
      if (node.consistent_snapshot) {
        add(" with consistent snapshot");
        separator = ", ";
      }
      if (node.access != AccessMode::kNone) {
        add(separator);
        add(node.access == AccessMode::kReadOnly ? "read only" : "read write");
      }
      return;
    }
    case StatementKind::kSavepoint:
      verb("savepoint");
      add(' ');
      return identifier(node.savepoint);
    case StatementKind::kRelease:
      verb("release");
      add(" savepoint ");
      return identifier(node.savepoint);
    case StatementKind::kRollbackTo:
      verb("rollback");
      add(" to ");
      // Without quotes, a savepoint of the name "savepoint" would be taken for the word.
      if (find_keyword(node.savepoint.text) == Keyword::kSavepoint) return add(quote_identifier(node.savepoint.text));
      return identifier(node.savepoint);
    default: break;
  }
  verb(node.kind == StatementKind::kCommit ? "commit" : "rollback");
  if (node.chain != Toggle::kNone) add(node.chain == Toggle::kOn ? " and chain" : " and no chain");
  if (node.release != Toggle::kNone) add(node.release == Toggle::kOn ? " release" : " no release");
}

void Printer::set(const SetStatement& node) {
  verb("set");
  add(node.statement != nullptr ? " statement " : " ");
  for (size_t i = 0; i < node.items.size(); ++i) {
    if (i > 0) add(", ");
    set_item(node.items[i]);
  }
  if (node.statement != nullptr) {
    add(" for ");
    statement(*node.statement);
  }
}

void Printer::set_item(const SetItem& item) {
  const auto scope_word = [&] {
    switch (item.scope) {
      case VariableScope::kNone: break;
      case VariableScope::kSession: add("session "); break;
      case VariableScope::kGlobal: add("global "); break;
      case VariableScope::kLocal: add("local "); break;
      case VariableScope::kPersist: add("persist "); break;
      case VariableScope::kPersistOnly: add("persist_only "); break;
    }
  };
  switch (item.kind) {
    case SetItemKind::kText: return add(item.text);
    case SetItemKind::kNames:
    case SetItemKind::kCharset:
      add(item.kind == SetItemKind::kNames ? "names " : "character set ");
      charset(item.name);
      if (!item.collation.empty()) {
        add(" collate ");
        charset(item.collation);
      }
      return;
    case SetItemKind::kTransaction: {
      scope_word();
      add("transaction");
      std::string_view separator = " ";
      if (item.isolation != IsolationLevel::kNone) {
        add(" isolation level ");
        switch (item.isolation) {
          case IsolationLevel::kNone: break;
          case IsolationLevel::kReadUncommitted: add("read uncommitted"); break;
          case IsolationLevel::kReadCommitted: add("read committed"); break;
          case IsolationLevel::kRepeatableRead: add("repeatable read"); break;
          case IsolationLevel::kSerializable: add("serializable"); break;
        }
        separator = ", ";
      }
      if (item.access != AccessMode::kNone) {
        add(separator);
        add(item.access == AccessMode::kReadOnly ? "read only" : "read write");
      }
      return;
    }
    case SetItemKind::kUserVariable: {
      UserVariable variable;
      variable.name = item.name.text;
      user_variable(variable);
      break;
    }
    case SetItemKind::kSystemVariable:
      if (item.at_form) {
        add("@@");
        system_variable(item.scope, item.base, item.name);
      } else {
        scope_word();
        if (!item.base.empty()) {
          identifier(item.base);
          add('.');
        }
        // A variable with a name that starts another form of SET keeps its quotes.
        identifier(item.name);
      }
      break;
  }
  add(" = ");
  expr(*item.value);
}

void Printer::show(const Show& node) {
  verb("show");
  add(' ');
  add(node.subject);
  if (!node.argument.empty()) {
    add(' ');
    identifier(node.argument);
  }
  if (!node.table.name.empty()) {
    switch (node.show) {
      case ShowKind::kColumns:
      case ShowKind::kIndex: add(" from "); break;
      case ShowKind::kVschemaVindexes: add(" on "); break;
      default: add(' '); break;
    }
    table_name(node.table);
  }
  if (!node.database.empty()) {
    add(node.show == ShowKind::kUnresolvedTransactions ? " for " : " from ");
    identifier(node.database);
  }
  if (node.like != nullptr) {
    add(" like ");
    expr(*node.like);
  }
  if (node.where != nullptr) {
    add(" where ");
    expr(*node.where);
  }
  limit(node.limit);
  if (!node.text.empty()) {
    add(' ');
    add(node.text);
  }
}

// ---- Kept as text ---------------------------------------------------------------------------------------------------

// `text` starts at `start` of the statement text; the names stand in it.
void Printer::text_with_names(std::string_view text, uint32_t start, List<DdlName> names) {
  uint32_t at = start;
  bool name_before = false;
  // A name that loses its quotes must not grow together with a word next to it.
  const auto add_apart = [&](std::string_view piece) {
    if (name_before && !piece.empty() && !out_.empty() && is_name_byte(out_.back()) && is_name_byte(piece[0])) add(' ');
    add(piece);
  };
  for (const DdlName& name : names) {
    add_apart(text.substr(at - start, name.name.span.offset - at));
    const size_t before = out_.size();
    table_name(name.name);
    if (before > 0 && out_.size() > before && is_name_byte(out_[before - 1]) && is_name_byte(out_[before])) {
      out_.insert(before, 1, ' ');
    }
    at = name.name.span.end();
    name_before = true;
  }
  add_apart(text.substr(at - start));
}

void Printer::ddl(const Ddl& ddl) {
  // Directives stand in the text; only those inside a query that is printed from the tree are printed again.
  const List<std::string_view> directives = directives_;
  directives_ = {};
  if (ddl.query == nullptr) return text_with_names(ddl.text, ddl.span.offset, ddl.names);
  // CREATE .. AS query: the text around the query with its names, and the query from the tree.
  const Span query_span = ddl.query->span;
  size_t before = 0;
  while (before < ddl.names.size() && ddl.names[before].name.span.offset < query_span.offset) ++before;
  const uint32_t start = ddl.span.offset;
  const char* query_text = ddl.text.data() + (query_span.offset - start);
  size_t first = 0;
  while (first < directives.size() && directives[first].data() < query_text) ++first;
  size_t last = first;
  while (last < directives.size() && directives[last].data() < query_text + query_span.length) ++last;
  text_with_names(ddl.text.substr(0, query_span.offset - start), start, ddl.names.first(before));
  directives_ = directives.subspan(first, last - first);
  if (is_name_byte(out_.back())) add(' ');  // AS(SELECT ..)
  query(*ddl.query);
  directives_ = {};
  if (query_span.end() - start < ddl.text.size() && is_name_byte(ddl.text[query_span.end() - start])) add(' ');
  text_with_names(ddl.text.substr(query_span.end() - start), query_span.end(), ddl.names.subspan(before));
}

void Printer::load(const LoadData& load) {
  directives_ = {};
  DdlName name{load.table, NameRole::kSubject};
  text_with_names(load.text, load.span.offset, List<DdlName>(&name, 1));
}

void Printer::alter_vschema(const AlterVschema& alter) {
  directives_ = {};
  add(alter.text);
}

// ---- The rest -------------------------------------------------------------------------------------------------------

void Printer::table_names(List<TableName> names) {
  for (size_t i = 0; i < names.size(); ++i) {
    if (i > 0) add(", ");
    table_name(names[i]);
  }
}

void Printer::lock_tables(const LockTables& lock) {
  if (lock.kind == StatementKind::kUnlockTables) {
    verb("unlock");
    return add(" tables");
  }
  verb("lock");
  add(" tables ");
  for (size_t i = 0; i < lock.tables.size(); ++i) {
    const LockedTable& table = lock.tables[i];
    if (i > 0) add(", ");
    table_name(table.table);
    alias(table.alias);
    switch (table.lock) {
      case TableLock::kRead: add(" read"); break;
      case TableLock::kReadLocal: add(" read local"); break;
      case TableLock::kWrite: add(" write"); break;
      case TableLock::kLowPriorityWrite: add(" low_priority write"); break;
      case TableLock::kWriteConcurrent: add(" write concurrent"); break;
    }
  }
}

void Printer::explain(const Explain& node) {
  if (node.kind == StatementKind::kVexplain) {
    verb("vexplain");
    switch (node.vexplain) {
      case VexplainType::kPlan: add(" plan "); break;
      case VexplainType::kAll: add(" all "); break;
      case VexplainType::kQueries: add(" queries "); break;
      case VexplainType::kTrace: add(" trace "); break;
      case VexplainType::kKeys: add(" keys "); break;
    }
    return statement(*node.statement);
  }
  verb(node.analyze_verb ? "analyze" : "explain");
  if (node.analyze && !node.analyze_verb) add(" analyze");
  if (node.extended) add(" extended");
  if (node.partitions) add(" partitions");
  if (!node.format.empty()) {
    add(" format = ");
    identifier(node.format);
  }
  add(' ');
  if (node.connection != nullptr) {
    add("for connection ");
    return expr(*node.connection);
  }
  if (node.statement != nullptr) return statement(*node.statement);
  table_name(node.table);
  if (node.column != nullptr) {
    add(' ');
    expr(*node.column);
  }
}

void Printer::kill(const Kill& kill) {
  verb("kill");
  if (kill.hard != Toggle::kNone) add(kill.hard == Toggle::kOn ? " hard" : " soft");
  if (kill.query) add(" query");
  if (kill.query_id) add(" id");
  add(' ');
  expr(*kill.id);
}

void Printer::call(const Call& call) {
  verb("call");
  add(' ');
  table_name(call.procedure);
  if (!call.parens) return;
  add('(');
  exprs(call.args);
  add(')');
}

void Printer::prepared(const PreparedStatement& node) {
  if (node.kind == StatementKind::kDeallocate) {
    verb("deallocate");
    add(" prepare ");
    return identifier(node.name);
  }
  if (node.kind == StatementKind::kPrepare) {
    verb("prepare");
    add(' ');
    identifier(node.name);
    add(" from ");
    return expr(*node.source);
  }
  verb("execute");
  add(' ');
  if (node.source != nullptr) {
    add("immediate ");
    expr(*node.source);
  } else {
    identifier(node.name);
  }
  if (node.arguments.empty()) return;
  add(" using ");
  exprs(node.arguments);
}

void Printer::flush(const Flush& flush) {
  verb("flush");
  if (flush.local) add(" local");
  if (flush.flushes_tables) add(" tables");
  if (!flush.tables.empty()) {
    add(' ');
    table_names(flush.tables);
  }
  if (flush.with_read_lock) add(" with read lock");
  if (flush.for_export) add(" for export");
  if (!flush.options.empty()) {
    if (flush.options[0] != ',') add(' ');
    add(flush.options);
  }
}

void Printer::table_admin(const TableAdmin& admin) {
  switch (admin.verb) {
    case AdminVerb::kAnalyze: verb("analyze"); break;
    case AdminVerb::kOptimize: verb("optimize"); break;
    case AdminVerb::kCheck: verb("check"); break;
    case AdminVerb::kRepair: verb("repair"); break;
    case AdminVerb::kChecksum: verb("checksum"); break;
  }
  if (admin.local) add(" local");
  add(" table ");
  table_names(admin.tables);
  if (!admin.options.empty()) {
    add(' ');
    add(admin.options);
  }
}

void Printer::stream(const StreamStatement& stream) {
  verb(stream.kind == StatementKind::kVstream ? "vstream" : "stream");
  add(' ');
  expr(*stream.item);
  add(" from ");
  table_name(stream.table);
  if (stream.where != nullptr) {
    add(" where ");
    expr(*stream.where);
  }
  limit(stream.limit);
}

}  // namespace vitrail::sql
