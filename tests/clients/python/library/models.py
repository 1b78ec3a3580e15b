from django.db import models


class Author(models.Model):
    name = models.CharField(max_length=60, db_index=True)
    born = models.DateField(null=True)


class Tag(models.Model):
    name = models.CharField(max_length=30)

    def __str__(self):
        return self.name


class Book(models.Model):
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    title = models.CharField(max_length=100)
    price = models.DecimalField(max_digits=10, decimal_places=2, null=True)
    facts = models.JSONField(null=True)
    sold = models.BooleanField(default=False)
    made = models.DateTimeField(null=True)
    tags = models.ManyToManyField(Tag)
    notes = models.TextField(default="", blank=True)
