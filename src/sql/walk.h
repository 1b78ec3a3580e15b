#pragma once

#include "sql/ast.h"
#include "sql/statement.h"

namespace vitrail::sql {

// Visits every node of a tree, parents before children, in the order of the canonical text. Derive and override what is
// of interest; enter() decides whether to go below a node, leave() follows when it did.
//   Depth : recursion as deep as the tree, which ParseOptions::max_depth bounds.
class Walker {
 public:
  virtual ~Walker() = default;

  void walk(const Statement& statement);
  void walk(const Query& query);
  void walk(const TableRef& table);
  void walk(const Expr& expr);

 protected:
  virtual bool enter(const Statement&) { return true; }
  virtual void leave(const Statement&) {}
  virtual bool enter(const Query&) { return true; }
  virtual void leave(const Query&) {}
  virtual bool enter(const TableRef&) { return true; }
  virtual void leave(const TableRef&) {}
  virtual bool enter(const Expr&) { return true; }
  virtual void leave(const Expr&) {}
  // The common tables of a query or statement; by default walks their queries. Comes before everything else below the
  // query it belongs to.
  virtual void with(const With& with);

  // For overriders that take over the children of a node.
  void walk_children(const Statement& statement);
  void walk_children(const Query& query);
  void walk_children(const TableRef& table);
  void walk_children(const Expr& expr);

 private:
  void walk_optional(const Expr* expr);
  void walk_all(List<Expr*> exprs);
  void walk_all(List<OrderItem> items);
  void walk_all(List<SelectItem> items);
  void walk_all(List<TableRef*> tables);
  void walk_all(List<Assignment> items);
  void walk_limit(const Limit* limit);
  void walk_window(const WindowSpec* window);
};

}  // namespace vitrail::sql
