# The mysql2 gem by itself: driver.rb PORT DATABASE. A step is a line of JSON.
require 'json'
require 'mysql2'

port, database = ARGV
def say(step, value) = puts(JSON.generate([step, value]))

def failure(step)
  yield
  say(step, 'no error')
rescue Mysql2::Error => e
  say(step, [e.class.name, e.error_number, e.sql_state])
end

connect = -> { Mysql2::Client.new(host: '127.0.0.1', port: port.to_i, username: 'demo', database: database, encoding: 'utf8mb4', flags: Mysql2::Client::MULTI_STATEMENTS) }
c, other = connect.call, connect.call
c.query('create table item(id bigint not null auto_increment, name varchar(64) not null, price decimal(10,2), made datetime, ratio double, data mediumblob, primary key(id)) default charset=utf8mb4')
insert = c.prepare('insert into item(name, price, made, ratio, data) values (?, ?, ?, ?, ?)')
insert.execute("a'b", '1.50', Time.utc(2024, 2, 29, 10), 0.25, "x'\\")
first = insert.last_id
insert.execute('Zoë 😀', nil, nil, nil, nil)
say('inserted', [insert.affected_rows, first.positive?, insert.last_id > first])
c.query("insert into item(name, price) values ('x', 1), ('y', 2)")
say('many', c.affected_rows)
say('read', c.query('select name, price, made, ratio, data from item order by id').map { |row| row.values.map { |v| v.is_a?(Time) || v.is_a?(BigDecimal) ? v.to_s : v } })
say('prepared', c.prepare('select name, price from item where name in (?, ?) order by name').execute('x', "a'b").map { |row| row.values.map(&:to_s) })
say('limited', c.prepare('select name from item order by name limit ?').execute(2).to_a)
say('streamed', c.query('select name from item order by name', stream: true, cache_rows: false).to_a)
say('escaped', c.query("select count(*) n from item where name = '#{c.escape("a'b")}'").first)
results = [c.query('select 1 as a; select name from item order by name limit 1').to_a]
results << c.store_result.to_a while c.next_result
say('several', results)
c.query('begin')
c.query("update item set name = 'lost'")
c.query('rollback')
c.query('begin')
c.query("insert into item(name) values ('kept')")
say('unseen', other.query("select count(*) n from item where name in ('kept', 'lost')").first)
c.query('commit')
say('seen', other.query("select count(*) n from item where name in ('kept', 'lost')").first)
failure('no table') { c.query('select * from nowhere') }
failure('no table, prepared') { c.prepare('select * from nowhere') }
failure('syntax') { c.query('selec 1') }
failure('null') { insert.execute(nil, nil, nil, nil, nil) }
failure('duplicate') { c.query("insert into item(id, name) values (#{first}, 'again')") }
say('alive', [c.ping, c.query('select 1 as one').first])
say('fields', c.query('select id, name from item limit 1').fields)
c.query('drop table item')
