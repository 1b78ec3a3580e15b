# ActiveRecord over the mysql2 gem: records.rb PORT DATABASE. Migrations, then models.
require 'active_record'
require 'json'

port, database = ARGV
def say(step, value) = puts(JSON.generate([step, value]))

ActiveRecord::Base.establish_connection(adapter: 'mysql2', host: '127.0.0.1', port: port.to_i, username: 'demo', database: database, encoding: 'utf8mb4', pool: 2)
ActiveRecord::Migration.verbose = false

class Tables < ActiveRecord::Migration[6.1]
  def change
    create_table(:author) { |t| t.string :name, limit: 60, null: false, index: true; t.date :born; t.integer :books_count, default: 0 }
    create_table(:book) { |t| t.bigint :author_id, index: true; t.string :title, limit: 100; t.decimal :price, precision: 10, scale: 2; t.timestamps }
    create_table(:tag) { |t| t.string :name, limit: 30 }
  end
end

class Changes < ActiveRecord::Migration[6.1]
  def change
    add_column :book, :sold, :boolean, default: false, null: false
    rename_column :tag, :name, :label
    add_index :book, %i[title sold], name: 'book_by_title'
  end
end

class Author < ActiveRecord::Base
  self.table_name = 'author'
  has_many :books, dependent: :destroy
  validates :name, presence: true
end

class Book < ActiveRecord::Base
  self.table_name = 'book'
  belongs_to :author, counter_cache: true
end

class Tag < ActiveRecord::Base
  self.table_name = 'tag'
end

ActiveRecord::SchemaMigration.create_table
[Tables, Changes].each_with_index do |migration, i|
  migration.migrate(:up)
  ActiveRecord::SchemaMigration.create!(version: i + 1)
end
say('versions', ActiveRecord::SchemaMigration.order(:version).pluck(:version))
connection = ActiveRecord::Base.connection
say('tables', connection.tables.sort)
say('columns', connection.columns('book').map { |c| [c.name, c.sql_type, c.null] })
say('indexes', connection.indexes('book').map { |i| [i.name, i.columns] }.sort)
say('key', connection.primary_key('book'))
[Author, Book, Tag].each(&:reset_column_information)
ann = Author.create!(name: 'Ann', born: '1970-01-02', books: [Book.new(title: 'One', price: '9.99'), Book.new(title: 'Two')])
bob = Author.create!(name: 'Böb')
bob.books.create!(title: 'Three', price: '1.01', sold: true)
say('ids', [ann.id.positive?, ann.books.map(&:id).uniq.size])
say('rows', Book.order(:title).map { |b| [b.title, b.price.to_s, b.sold] })
say('join', Book.joins(:author).order(:title).pluck('author.name', :title))
say('included', Author.includes(:books).order(:name).map { |a| [a.name, a.books.map(&:title).sort, a.books_count] })
say('eager', Author.eager_load(:books).where(book: { sold: true }).pluck(:name))
say('grouped', Book.group(:sold).order(:sold).sum(:price).map { |k, v| [k, v.to_s] })
say('counted', [Book.distinct.count(:author_id), Book.where('price > ?', 1).count, Book.average(:price).to_s, Book.maximum(:title)])
say('subquery', Author.where(id: Book.where(sold: true).select(:author_id)).pluck(:name))
say('exists', [Author.exists?(name: 'Ann'), Book.where(title: 'none').exists?])
say('paged', Book.order(title: :desc).limit(2).offset(1).pluck(:title))
say('in batches', Book.in_batches(of: 2).sum { |batch| batch.pluck(:id).size })
say('changed', Book.where('price < 5').update_all('price = price + 1'))
say('inserted', Tag.insert_all!([{ label: 'a' }, { label: 'b' }]).length)
Author.upsert_all([{ id: ann.id, name: 'Ann B.' }])
say('upserted', ann.reload.name)
Author.transaction do
  Tag.create!(label: 'outer')
  Author.transaction(requires_new: true) { Tag.create!(label: 'inner') }
  Author.transaction(requires_new: true) { Tag.create!(label: 'undone'); raise ActiveRecord::Rollback }
  ann.lock!
end
say('labels', Tag.order(:label).pluck(:label))
begin
  Author.create!(id: ann.id, name: 'again')
rescue ActiveRecord::RecordNotUnique => e
  say('duplicate', e.class.name)
end
begin
  connection.execute('select * from nowhere')
rescue ActiveRecord::StatementInvalid => e
  say('error', e.cause.error_number)
end
ann.destroy!
say('left', [Book.count, Author.count])
say('created', Tag.find_or_create_by!(label: 'found').label)
Changes.migrate(:down)
Tables.migrate(:down)
say('tables left', connection.tables.sort)
