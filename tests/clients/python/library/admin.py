from django.contrib import admin

from library.models import Book, Tag


@admin.register(Book)
class BookAdmin(admin.ModelAdmin):
    list_display, search_fields, list_filter, date_hierarchy = ["title", "author", "price"], ["title", "author__name"], ["sold"], "made"


admin.site.register(Tag)
