"""Shows figures: signs, digits and currencies are decided here and nowhere else."""

from django.template import Library

register = Library()
