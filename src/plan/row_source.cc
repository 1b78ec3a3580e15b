#include "plan/row_source.h"

#include "plan/finish.h"
#include "plan/routing.h"
#include "sql/tables.h"

namespace vitrail::plan {
namespace {

// The source's text is no part of the client's statement: its literals have no places there.
PlanContext inner(const PlanContext& context) {
  PlanContext own = context;
  own.parameters = {};
  own.has_parameters = true;
  own.literal_positions = 0;
  own.key_forms.clear();
  own.may_finish = false;
  return own;
}

}  // namespace

Result<std::shared_ptr<const Plan>> plan_source_finish(const RowSource& source, const PlanContext& context) {
  if (context.schema == nullptr) return unsupported("a change of several shards while no table's columns are known");
  ASSIGN_OR_RETURN(auto ast, sql::parse(source.query));
  const FinishLocks locks{.changed = source.changed};
  return plan_finish(ast, inner(context), &locks);
}

Result<RowSource> plan_source(std::string query, std::set<std::string> changed, const PlanContext& context) {
  RowSource out{.query = std::move(query), .text = {}, .changed = std::move(changed), .plan = nullptr};
  ASSIGN_OR_RETURN(auto ast, sql::parse(out.query));
  const auto* statement = sql::statement_as<sql::QueryStatement>(&ast.statement());
  if (statement == nullptr) return unsupported("a source of rows that is no query");
  if (!statement->query->locks.empty() || statement->query->into != nullptr) {
    return unsupported("a locking read, or SELECT ... INTO, as the source of a change");
  }
  const bool tables = !sql::collect_tables(ast.statement()).empty();
  if (!tables || statement->query->kind == sql::QueryKind::kSelect) {
    out.text = out.query;
    if (tables) out.text += out.changed.empty() ? " lock in share mode" : " for update";
    ASSIGN_OR_RETURN(auto locking, sql::parse(out.text));
    auto planned = plan_statement(locking, inner(context));
    if (planned.ok() && (*planned)->kind == Plan::Kind::kRoute) {
      out.plan = std::move(*planned);
      return out;
    }
    if (!planned.ok() && (!tables || planned.error().code() != Code::kUnimplemented)) return std::move(planned).error();
  }
  out.text = out.query;
  ASSIGN_OR_RETURN(out.plan, plan_source_finish(out, context));
  return out;
}

}  // namespace vitrail::plan
